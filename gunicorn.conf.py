"""What gunicorn reads at its start: threads enough that health is always answered, logs in the shape of all others."""

from importlib.util import find_spec
from typing import Any

from scheduler_project.admission import THREADS

threads = THREADS
if find_spec("monitoring"):
    logger_class = "monitoring.gunicorn_logs.GunicornLogs"


def post_worker_init(worker: Any) -> None:
    """Add up what was counted since ever, which the first scrape would have to wait for; then settle."""
    from jobs.processes.loop import settle

    if find_spec("monitoring"):
        from monitoring.metrics import warm_up

        warm_up()
    settle()
