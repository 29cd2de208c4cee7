"""The listener process."""

from typing import Any

from django.core.management.base import BaseCommand

from jobs.engine import keys, process
from jobs.listener import Listener
from jobs.main_api.client import main_api


class Command(BaseCommand):
    """Runs the listener."""

    help = "Listens to the main API's messages about world time and entities. Of several, one is active."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped."""
        process.run(Listener(keys.redis(), main_api()), process.stop_on_signals(), name="listener")
