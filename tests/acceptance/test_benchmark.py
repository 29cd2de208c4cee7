"""The benchmark and the load test, run as commands."""

import json
import subprocess
import sys

from tests.support import forked
from tests.support.servers import ROOT


def run(*words: str) -> str:
    """`manage.py`, to its end; what it printed."""
    done = forked.run("manage.py", *words, variables={})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quick_benchmark_measures_draining_and_submitting() -> None:
    """It starts everything it needs, measures, and prints JSON with rates."""
    scenarios = ["--scenario", "drain-noop", "--scenario", "submit-eight"]
    (result,) = json.loads(run("benchmark", "--quick", "--runs", "1", *scenarios, "--json"))

    rates = [f["median_ours"] for f in result["figures"] if f["figure"] == "rate"]
    assert len(rates) == 3
    assert all(rate > 0 for rate in rates)


def test_the_load_test_drains_what_it_submits() -> None:
    """It ends with a full progress bar and the rate."""
    printed = run("load_test", "50", "2")

    assert "50 of 50" in printed
    assert "drained in" in printed
    assert "failed attempts: 0" in printed


def test_a_process_loads_only_what_it_needs() -> None:
    """Only the benchmark's own worker has the no-op type, and no process on SQLite loads psycopg."""
    code = "import sys; from jobs.registry import all_types; print(*all_types(), *sys.modules)"
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=True).stdout

    assert "EVENT_EXPIRATION" in printed
    assert "BENCHMARK" not in printed
    assert "psycopg" not in printed
