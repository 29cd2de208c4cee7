"""Measures the service on this machine, alone or against Bull, with its own Redis, sandbox and database."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from benchmarks.bench import Bench
from benchmarks.drained import BenchmarkFailed
from benchmarks.figures import Figure, join, table
from benchmarks.our_side import Ours
from benchmarks.peer_side import ENGINES, ON_POSTGRESQL, Peer, install
from benchmarks.scenarios import SCENARIOS
from benchmarks.spent import Servers
from benchmarks.world import PEER_REDIS_DATABASE, busy_loops, running_world
from sandbox.up import CannotStart

QUICK = 0.02
RESULTS = Path(settings.BASE_DIR) / "benchmarks" / "results"


class Command(BaseCommand):
    help = "Measure the service, alone or against Bull or BullMQ; docs/benchmark.md describes the scenarios."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--against", choices=ENGINES, help="the peer to compare with (needs Node 20)")
        parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="repeatable; default: all")
        parser.add_argument(
            "--database", action="append", choices=["sqlite", "postgresql"], help="repeatable; default: sqlite"
        )
        parser.add_argument("--runs", type=int, default=5, help="runs per scenario (default: 5)")
        parser.add_argument("--size", type=float, default=1.0, help="scale of all counts; 0.1 is a tenth")
        parser.add_argument("--quick", action="store_true", help=f"same as --size {QUICK}, to try it out")
        parser.add_argument(
            "--beside", type=int, default=0, help="busy loops that take the cores meanwhile (default: 0)"
        )
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        parser.add_argument("--save", metavar="NAME", help="append to benchmarks/results/NAME-DATABASE.json")
        parser.add_argument("--inside", metavar="FILE", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        """Start Redis, sandbox and database, measure in a child process with their settings, and print."""
        try:
            if options["inside"]:
                self._measure(options)
                return
            if options["against"]:
                install()
            if options["against"] == ON_POSTGRESQL and options["database"] != ["postgresql"]:
                raise CommandError(f"--against {ON_POSTGRESQL}: needs --database postgresql, and no other")
            results = [self._run_in_world(database, options) for database in options["database"] or ["sqlite"]]
        except (BenchmarkFailed, CannotStart, FileNotFoundError) as failed:
            raise CommandError(str(failed)) from None
        if options["json"]:
            self.stdout.write(json.dumps(results, indent=1))

    def _run_in_world(self, database: str, options: dict[str, Any]) -> dict[str, Any]:
        with (
            running_world(database) as environment,
            tempfile.TemporaryDirectory() as name,
            busy_loops(options["beside"]),
        ):
            answer = Path(name) / "answer.json"
            command = [sys.executable, *sys.argv, "--inside", str(answer)]
            code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - our own arguments
            failed = BenchmarkFailed(f"the measurement on {database} exited ({code}); see above")
            if not answer.exists():
                raise failed
            measured = json.loads(answer.read_text())
        result = {"database": database, "machine": _machine(), "at": datetime.now(UTC).isoformat(), **measured}
        result["beside"] = options["beside"]
        if options["save"]:
            _save(RESULTS / f"{options['save']}-{database}.json", result)
        if not options["json"]:
            figures = [_figure(f) for f in measured["figures"]]
            self.stdout.write(f"\n{database}, medians\n\n")
            self.stdout.write(table(figures, peer=options["against"] or "peer"))
        if code != 0:  # what was measured before the failure is printed
            raise failed
        return result

    def _measure(self, options: dict[str, Any]) -> None:
        import benchmarks.job_types  # noqa: F401 - declares the types that are submitted

        servers = Servers(settings.REDIS_URL, settings.API_URL)
        peer = None
        if options["against"]:
            redis_url = settings.REDIS_URL.rpartition("/")[0] + f"/{PEER_REDIS_DATABASE}"
            peer = Peer(options["against"], redis_url, settings.API_URL, settings.API_SERVICE_ACCOUNT_TOKEN, servers)
        bench = Bench(
            ours=Ours(Path(os.environ["BENCHMARK_FOLDER"]), servers),
            peer=peer,
            api_url=settings.API_URL,
            our_redis=settings.REDIS_URL,
            servers=servers,
            scale=QUICK if options["quick"] else options["size"],
        )
        for run in range(options["runs"]):
            for name in options["scenario"] or SCENARIOS:
                self.stderr.write(f"run {run + 1} of {options['runs']}: {name}")
                bench.start_empty()
                try:
                    SCENARIOS[name](bench)
                finally:
                    figures = [figure.as_json() for figure in bench.figures.values()]
                    answer = {"against": options["against"], "scale": bench.scale, "figures": figures}
                    Path(options["inside"]).write_text(json.dumps(answer))


def _save(path: Path, result: dict[str, Any]) -> None:
    """Write the result; append its runs if an earlier call saved under the same name."""
    figures = [_figure(f) for f in result["figures"]]
    if path.exists():
        earlier = json.loads(path.read_text())
        figures = join([_figure(f) for f in earlier["figures"]], figures)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**result, "figures": [f.as_json() for f in figures]}, indent=1) + "\n")


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _figure(found: dict[str, Any]) -> Figure:
    return Figure(
        scenario=found["scenario"], name=found["figure"], unit=found["unit"], ours=found["ours"], peer=found["peer"]
    )
