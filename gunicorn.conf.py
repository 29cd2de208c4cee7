"""What gunicorn reads at its start: its logs have the shape of all others, and totals are added up beforehand."""

from importlib.util import find_spec
from typing import Any

if find_spec("monitoring"):
    logger_class = "monitoring.gunicorn_logs.GunicornLogs"


def post_worker_init(worker: Any) -> None:
    """Add up what was counted since ever, which the first scrape would have to wait for."""
    if find_spec("monitoring"):
        from monitoring.metrics import warm_up

        warm_up()
