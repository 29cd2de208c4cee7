from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand

from jobs.processes import database_checks, loop
from monitoring.alerting.main_api import MainApiWatch
from monitoring.alerting.monitor import Monitor

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    requires_system_checks: list[str] = []
    help = "Raise and deliver alerts. Several monitors may run; one is active."

    def handle(self, *args: Any, **options: Any) -> None:
        database_checks.check_database()
        if not settings.PUBLIC_URL:
            log.warning("alerts.public_url_missing", next="alerts name pages by their paths, without a link")
        loop.run(Monitor(main_api=MainApiWatch()), loop.stop_on_signals(), name="monitor")
