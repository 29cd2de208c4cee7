"""gunicorn's configuration: where it listens, enough threads to always answer health checks, and logs in the
service's format.
"""

import os
import shutil
import tempfile
from importlib.util import find_spec
from typing import Any

from scheduler_project import settings
from scheduler_project.admission import THREADS

_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_made: list[str] = []  # folders to delete at the end

bind = f"0.0.0.0:{settings.PORT}"
threads = THREADS
graceful_timeout = int(settings.SHUTDOWN_GRACE.total_seconds())
control_socket_disable = True  # gunicornc's socket would be made in a home that may be read-only
if find_spec("monitoring"):
    logger_class = "monitoring.gunicorn_logs.GunicornLogs"


def on_starting(server: Any) -> None:
    """Give several workers a folder for their counters, so that a scrape of one covers all."""
    if server.cfg.workers > 1 and _METRICS not in os.environ:
        os.environ[_METRICS] = tempfile.mkdtemp(prefix="web-metrics-")
        _made.append(os.environ[_METRICS])


def on_exit(_server: Any) -> None:
    for folder in _made:
        shutil.rmtree(folder, ignore_errors=True)


def post_worker_init(worker: Any) -> None:
    """Check the database, load the totals that the first scrape would wait for, then freeze start-up objects."""
    from jobs.processes.database_checks import check_database  # Django is not ready when gunicorn reads this file
    from jobs.processes.loop import freeze_startup_objects

    check_database(processes=worker.cfg.workers)
    if find_spec("monitoring"):
        from monitoring.metrics import warm_up  # the package may be absent

        warm_up()
    if find_spec("ops"):
        from ops.live.hub import hub  # the package may be absent

        hub.is_stopping = lambda: not worker.alive  # streams end at once rather than with graceful_timeout
    freeze_startup_objects()
