"""The peer's side of each scenario: Node processes of benchmarks/peer on Redis database 1."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection

from benchmarks.drained import BenchmarkFailed, Drained, Submitted
from benchmarks.sampler import Sampler
from benchmarks.spent import Servers, Spent
from benchmarks.world import redis_at

FOLDER = Path(__file__).parent / "peer"
NODE = "node"
LONGEST_S = 1800
ON_POSTGRESQL = "bullmq-postgresql"
ENGINES = ("bull", "bullmq", ON_POSTGRESQL)
SCHEMA = "bullmq"


def install() -> None:
    """Install the packages of the lock file, once. Raises BenchmarkFailed."""
    if (FOLDER / "node_modules" / ".package-lock.json").exists():
        return
    try:
        subprocess.run(["npm", "ci", "--silent"], cwd=FOLDER, check=True)  # noqa: S607 - npm from the user's PATH
    except (OSError, subprocess.CalledProcessError) as error:
        advice = "install Node 20 and npm, or leave out --against"
        raise BenchmarkFailed(f"npm ci in {FOLDER} failed ({error}): {advice}") from None


@dataclass(slots=True)
class Peer:
    """Bull or BullMQ with one queue, on Redis or in a schema of our PostgreSQL database."""

    engine: str
    redis_url: str
    api_url: str
    token: str
    servers: Servers
    waiting: int = 0

    def clear(self) -> None:
        """Empty the queue, waiting jobs included."""
        redis_at(self.redis_url).flushdb()
        if self.engine == ON_POSTGRESQL:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        self.waiting = 0

    def fill(self, count: int) -> float:
        """Make `count` delayed jobs wait; return the seconds it took to add the missing ones."""
        if count < self.waiting:
            self.clear()
        seconds = (
            float(self._run(command="fill", count=count - self.waiting)["seconds"]) if count > self.waiting else 0.0
        )
        self.waiting = count
        return seconds

    def submit(self, count: int, data: dict[str, Any], *, clients: int = 0) -> Submitted:
        """Add `count` jobs in calls of 1,000, or one a call by so many clients at once."""
        answer = self._run(command="submit", count=count, data=data, clients=clients)
        return Submitted(float(answer["seconds"]), float(answer["cpu"]))

    def submit_jobs(self, jobs: list[dict[str, Any]]) -> float:
        """Add these jobs, each with `data` and perhaps `dueAt`; return the seconds inside the adding process."""
        return float(self._run(command="submit", jobs=jobs)["seconds"])

    def drain(self, count: int, data: dict[str, Any], *, concurrency: int, warm_up: int) -> Drained:
        """Add `warm_up` + `count` jobs, then start a worker and measure the last `count`."""
        self.submit(warm_up + count, data)
        return self.work(count, concurrency=concurrency, warm_up=warm_up)

    def work(self, count: int, *, concurrency: int, warm_up: int = 0) -> Drained:
        """Start a worker on the queue and measure until all jobs have ended."""
        with self.servers.measured() as spent:
            process = self._start(command="work", count=count, concurrency=concurrency, warmUp=warm_up)
            sampler = Sampler([process.pid]).start()
            answer = self._answer(process)
            sampler.stop()
        return _make_drained(answer, count, warm_up, sampler, spent)

    def lags(self, due: list[float], *, concurrency: int, warm_up: int) -> list[float]:
        """Add jobs due at `due`; return for each the seconds from due to its handler's first line."""
        self.submit(warm_up, {"kind": "noop"})
        process = self._start(
            command="work", count=len(due), concurrency=concurrency, warmUp=warm_up, announce=True, results=True
        )
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise BenchmarkFailed("the peer's worker did not become ready")
        self.submit_jobs([{"data": {"kind": "lag", "n": n}, "dueAt": at} for n, at in enumerate(due)])
        results = self._answer(process)["results"]
        began = {r["n"]: r["result"] for r in results if r["result"] is not None}
        # Bull rounds the delay to milliseconds, so its due time is off by half a millisecond at most.
        return [began[n] - at for n, at in enumerate(due)]

    def _start(self, **options: Any) -> subprocess.Popen[str]:
        wanted = {
            "engine": self.engine,
            "redis": self.redis_url,
            "postgresql": os.environ["DATABASE_URL"],
            "schema": SCHEMA,
            "queue": "benchmark",
            "api": self.api_url,
            "token": self.token,
            **options,
        }
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            [NODE, "peer.js"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if process.stdin is None:
            raise BenchmarkFailed("node has no stdin")
        process.stdin.write(json.dumps(wanted))
        process.stdin.close()
        process.stdin = None  # or communicate() flushes a closed file
        return process

    def _answer(self, process: subprocess.Popen[str]) -> Any:
        try:
            output, _ = process.communicate(timeout=LONGEST_S)
        finally:
            process.kill()
        if process.returncode != 0:
            raise BenchmarkFailed(f"the peer exited ({process.returncode}); its error is above")
        return json.loads(output)

    def _run(self, **options: Any) -> Any:
        return self._answer(self._start(**options))


def _make_drained(answer: dict[str, Any], count: int, warm_up: int, sampler: Sampler, spent: Spent) -> Drained:
    began, ended = answer["from"], answer["to"]
    return Drained(
        count=count,
        seconds=ended - began,
        cpu_s=sampler.cpu_s(began, ended),
        rss_mb=sampler.rss_mb(),
        failures=0,  # the peer's process ends with the first
        jobs=count + warm_up,
        spent=spent,
    )
