"""gunicorn's configuration: enough threads to always answer health checks, and logs in the service's format."""

from importlib.util import find_spec
from typing import Any

from scheduler_project.admission import THREADS

threads = THREADS
if find_spec("monitoring"):
    logger_class = "monitoring.gunicorn_logs.GunicornLogs"


def post_worker_init(worker: Any) -> None:
    """Load the totals that the first scrape would wait for, then freeze start-up objects."""
    from jobs.processes.loop import freeze_startup_objects

    if find_spec("monitoring"):
        from monitoring.metrics import warm_up

        warm_up()
    freeze_startup_objects()
