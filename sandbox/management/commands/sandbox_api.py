"""The sandbox main API as a command of this project."""

import argparse
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sandbox.cli import add_arguments, serve


class Command(BaseCommand):
    """Serves the sandbox main API."""

    help = "Serves a stand-in for the main API: its contract over a small world in memory. Not for production."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        """The sandbox's options."""
        add_arguments(parser, token=settings.API_SERVICE_ACCOUNT_TOKEN, redis=settings.REDIS_URL)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until stopped."""
        sys.exit(serve(argparse.Namespace(**options)))
