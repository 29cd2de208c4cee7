"""manage.py pubsub_listener: the listener process."""

from typing import Any

from django.core.management.base import BaseCommand

from jobs.broker import keys
from jobs.listener import Listener
from jobs.main_api.client import main_api
from jobs.processes import database_checks, loop


class Command(BaseCommand):
    requires_system_checks: list[str] = []
    help = "Listen to the main API's messages about world time and entities. One of several instances is active."

    def handle(self, *args: Any, **options: Any) -> None:
        database_checks.check_database()
        loop.run(Listener(keys.redis(), main_api()), loop.stop_on_signals(), name="listener")
