import sys
from typing import Any

from django.core.management.base import BaseCommand

from monitoring import health
from monitoring.checks import CHECKS, ROLES


class Command(BaseCommand):
    help = (
        "Check a component, for containers that serve no HTTP. Exit code 1 if it is down. "
        "A worker must run on this host, the others on any. Without a role, all components are checked."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("role", nargs="?", choices=sorted(ROLES), help="the component to check")

    def handle(self, *args: Any, **options: Any) -> None:
        role = options["role"]
        found = health.Round(dict([ROLES[role]]) if role else CHECKS).components()
        for name, component in found.items():
            self.stdout.write(f"{name}: {component.status}: {component.message}")
        sys.exit(any(component.status == health.DOWN for component in found.values()))
