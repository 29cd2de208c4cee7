"""Does the main API at API_URL fit what the scheduler asks of it?"""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from graphql import build_client_schema, get_introspection_query, parse, validate

from jobs.errors import JobError, NotAuthorized
from jobs.main_api import operations
from jobs.main_api.client import main_api


class Command(BaseCommand):
    """Checks the main API."""

    help = "Connects to API_URL, reads its schema and validates every operation of the scheduler against it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Say for each operation whether it fits; exit code 1 when one does not."""
        try:
            answer = main_api().ask("introspection", get_introspection_query(descriptions=False), {})
            campaigns = main_api().campaigns(fresh=True)
        except NotAuthorized as error:
            sys.exit(f"{settings.API_URL}: {error}: set API_SERVICE_ACCOUNT_TOKEN")
        except JobError as error:
            sys.exit(f"{settings.API_URL}: {error}: set API_URL, or start the main API")
        if not answer.get("data"):
            sys.exit(f"{settings.API_URL}: it does not report its schema: {answer.get('errors')}")
        schema = build_client_schema(answer["data"])
        self.stdout.write(f"Connected to {settings.API_URL}; {len(campaigns)} campaigns are visible.")
        bad = 0
        for name in operations.names():
            sizes = (1,) if name == "campaigns" else (1, 2)
            faults = [e.message for n in sizes for e in validate(schema, parse(_document(name, n)))]
            bad += bool(faults)
            verdict = self.style.ERROR("does not fit: " + "; ".join(faults)) if faults else self.style.SUCCESS("fits")
            self.stdout.write(f"  {name}: {verdict}")
        self.stdout.write(f"{len(operations.names()) - bad} of {len(operations.names())} operations fit.")
        if bad:
            sys.exit(1)


def _document(name: str, size: int) -> str:
    batchable = name != "executeEffect"
    return operations.text(name, size if batchable else 1)
