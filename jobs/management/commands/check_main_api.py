"""Does the main API at API_URL fit what the scheduler asks of it?"""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from graphql import GraphQLSchema, build_client_schema, get_introspection_query, parse, validate

from jobs.errors import JobError, NotAuthorized
from jobs.main_api import operations
from jobs.main_api.answers import Answer, Fault
from jobs.main_api.client import main_api
from jobs.main_api.errors import error_of


class Command(BaseCommand):
    """Checks the main API."""

    help = "Connects to API_URL, reads its schema and validates every operation of the scheduler against it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Say for each operation whether it fits; exit code 1 when one does not, or cannot be carried out."""
        try:
            schema = _schema(_ask("introspection", get_introspection_query(descriptions=False)))
            campaigns = _ask("campaigns", operations.text("campaigns"))
        except NotAuthorized as error:
            sys.exit(f"{settings.API_URL}: {error}: set API_SERVICE_ACCOUNT_TOKEN")
        except JobError as error:
            sys.exit(f"{settings.API_URL}: {error}: set API_URL, or start the main API")
        unread = "".join(str(error_of("campaigns", error)) for error in campaigns.errors[:1])
        visible = f"its campaigns cannot be read: {unread}" if unread else f"{_count(campaigns)} campaigns are visible"
        self.stdout.write(f"Connected to {settings.API_URL}; {visible}.")
        bad = 0
        for name in operations.names():
            sizes = (1,) if name == "campaigns" else (1, 2)
            faults = [e.message for n in sizes for e in validate(schema, parse(_document(name, n)))]
            bad += bool(faults)
            verdict = self.style.ERROR("does not fit: " + "; ".join(faults)) if faults else self.style.SUCCESS("fits")
            self.stdout.write(f"  {name}: {verdict}")
        self.stdout.write(f"{len(operations.names()) - bad} of {len(operations.names())} operations fit.")
        if bad or unread:
            sys.exit(1)


def _ask(name: str, document: str) -> Answer:
    """One answer, past the breaker: whoever asks why that is open wants to know why, and must not be counted by it."""
    try:
        answer = main_api().transport.send({"query": document, "variables": {}})
    except Fault as fault:
        raise fault.error from None
    for error in answer.errors:
        if isinstance(refused := error_of(name, error), NotAuthorized):
            raise refused
    return answer


def _schema(answer: Answer) -> GraphQLSchema:
    reported: Any = answer.data
    try:
        return build_client_schema(reported)
    except TypeError:
        sys.exit(f"{settings.API_URL}: it does not report its schema: {answer.errors or answer.data}")


def _count(answer: Answer) -> int:
    found = answer.data.get("campaigns")
    return len(found) if isinstance(found, list) else 0


def _document(name: str, size: int) -> str:
    batchable = name != "executeEffect"
    return operations.text(name, size if batchable else 1)
