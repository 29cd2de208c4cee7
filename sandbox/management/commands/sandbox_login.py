"""The admin login of the sandbox in Docker Compose."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sandbox.login import admin_login


class Command(BaseCommand):
    """Makes and prints the login."""

    help = "Makes the user admin at the first start, and prints its password. Not for production."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line."""
        self.stdout.write(admin_login(settings.PORT))
