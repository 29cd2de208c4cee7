"""The monitor process."""

from typing import Any

from django.core.management.base import BaseCommand

from jobs.processes import loop
from monitoring.alerting.monitor import Monitor


class Command(BaseCommand):
    """Runs the monitor."""

    help = "Watches the service and delivers alerts. Of several, one is active."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped."""
        loop.run(Monitor(), loop.stop_on_signals(), name="monitor")
