"""What `make up` prints beside the address."""

import io
from datetime import UTC, datetime

import pytest
from honcho.printer import Message

from sandbox.console import STATUS_EVERY_S, Quiet

MOVED = "2026-01-01 [info     ] job.moved  [jobs] job_type=X now={} was=RUNNING"


def print_lines(*lines: str, name: str = "worker", seconds: float = 0.0, colours: bool = False) -> str:
    """What is printed of these lines; the last one comes after some seconds."""
    now, output = [0.0], io.StringIO()
    quiet = Quiet(output, clock=lambda: now[0])
    for line in lines:
        text = line.replace("info     ", "\x1b[32m\x1b[1minfo     \x1b[0m") if colours else line
        now[0] = seconds if line is lines[-1] else 0.0
        quiet.write(Message("line", f"{text}\n".encode(), datetime(2026, 1, 1, tzinfo=UTC), name, None))
    return output.getvalue()


@pytest.mark.parametrize("colours", [False, True])
def test_what_is_as_usual_is_left_out(colours: bool) -> None:
    lines = ["2026-01-01 [info     ] worker.started", "2026-01-01 [debug    ] x", "web started (pid=7)"]

    assert print_lines(*lines, colours=colours) == ""


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-01 [warning  ] listener.catch_up_failed",
        "2026-01-01 [error    ] process.crashed",
        "Traceback (most recent call last):",
        "redis was killed by SIGKILL; shutting down",
        "worker stopped (rc=0)",
    ],
)
def test_what_is_not_usual_is_shown(line: str) -> None:
    assert print_lines(line).endswith(f"worker | {line}\n")


def test_jobs_are_counted_in_a_line_every_ten_seconds() -> None:
    moves = [MOVED.format(state) for state in ("SUCCEEDED", "SKIPPED", "DEAD", "RETRYING", "SUCCEEDED")]

    assert print_lines(*moves, seconds=STATUS_EVERY_S - 1) == ""
    assert "up | 3 jobs done, 1 dead letter (every log line: make up LOGS=1)" in print_lines(
        *moves, seconds=STATUS_EVERY_S, colours=True
    )
