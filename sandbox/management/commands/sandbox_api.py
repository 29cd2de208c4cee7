import argparse
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sandbox.cli import add_arguments, serve


class Command(BaseCommand):
    help = "Serve a stand-in for the main API with a small world in memory. Not for production."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        add_arguments(parser, token=settings.API_SERVICE_ACCOUNT_TOKEN, redis=settings.REDIS_URL)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(serve(argparse.Namespace(**options)))
