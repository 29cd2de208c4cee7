from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sandbox.login import admin_login


class Command(BaseCommand):
    help = "Create the user admin at the first start and print its password. Not for production."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(admin_login(settings.PORT))
