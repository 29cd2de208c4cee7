"""The scheduler process."""

from typing import Any

from django.core.management.base import BaseCommand

from jobs.engine import keys, process
from jobs.engine.scheduler import Scheduler


class Command(BaseCommand):
    """Runs the scheduler."""

    help = "Runs the scheduler: due jobs, cron tasks, schedule rows and the feeder. Of several, one is active."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped."""
        process.run(Scheduler(connection=keys.redis()), process.stop_on_signals(), name="scheduler")
