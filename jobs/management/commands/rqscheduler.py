"""manage.py rqscheduler: the scheduler process."""

from typing import Any

from django.core.management.base import BaseCommand

from jobs.broker import keys
from jobs.engine.scheduler.scheduler import Scheduler
from jobs.processes import database_checks, loop


class Command(BaseCommand):
    requires_system_checks: list[str] = []
    help = (
        "Run the scheduler: due jobs, cron tasks, schedules, rescue of lost jobs. One of several instances is active."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        database_checks.check_database()
        loop.run(Scheduler(connection=keys.redis()), loop.stop_on_signals(), name="scheduler")
