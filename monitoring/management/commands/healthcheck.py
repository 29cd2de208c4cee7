"""Is a component up? For containers that serve no HTTP."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from monitoring import health
from monitoring.checks import CHECKS, ROLES


class Command(BaseCommand):
    """Checks one component, or all."""

    help = (
        "Exit code 0 when a worker of this host, or a scheduler or listener anywhere, is up; "
        "without a name: when nothing is down."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        """Which component."""
        parser.add_argument("role", nargs="?", choices=sorted(ROLES))

    def handle(self, *args: Any, **options: Any) -> None:
        """Say how it is."""
        role = options["role"]
        found = health.Round(dict([ROLES[role]]) if role else CHECKS).components()
        for name, component in found.items():
            self.stdout.write(f"{name}: {component.status}: {component.message}")
        sys.exit(any(component.status == health.DOWN for component in found.values()))
