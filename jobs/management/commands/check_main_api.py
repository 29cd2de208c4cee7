"""manage.py check_main_api: check that the main API at API_URL supports the scheduler's operations."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from gql import gql
from graphql import GraphQLSchema, build_client_schema, get_introspection_query, validate

from jobs.errors import JobError, NotAuthorized
from jobs.main_api import operations
from jobs.main_api.answers import Answer, Fault
from jobs.main_api.client import main_api
from jobs.main_api.errors import error_of
from scheduler_project.logs import masked


class Command(BaseCommand):
    """Checks the main API."""

    help = "Connect to API_URL, read its schema and validate every operation of the scheduler against it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the result for each operation; exit with code 1 if one does not match the schema."""
        try:
            schema = _schema(_query("introspection", get_introspection_query(descriptions=False)))
            campaigns = _query("campaigns", operations.text("campaigns", named=False))
        except NotAuthorized as error:
            sys.exit(masked(f"{settings.API_URL}: {error}. Check API_SERVICE_ACCOUNT_TOKEN."))
        except JobError as error:
            sys.exit(masked(f"{settings.API_URL}: {error}. Check API_URL, and that the main API runs."))
        unread = "".join(str(error_of("campaigns", error)) for error in campaigns.errors[:1])
        visible = f"campaigns cannot be read: {unread}" if unread else f"{_count(campaigns)} campaigns are visible"
        self.stdout.write(masked(f"Connected to {settings.API_URL}; {visible}."))
        bad = 0
        for name in operations.names():
            sizes = (1,) if name == "campaigns" else (1, 2)
            faults = [e.message for n in sizes for e in validate(schema, gql(_document(name, n)).document)]
            bad += bool(faults)
            verdict = (
                self.style.ERROR("does not match the schema: " + "; ".join(faults))
                if faults
                else self.style.SUCCESS("ok")
            )
            self.stdout.write(f"  {name}: {verdict}")
        self.stdout.write(f"{len(operations.names()) - bad} of {len(operations.names())} operations match the schema.")
        if bad or unread:
            sys.exit(1)


def _query(name: str, document: str) -> Answer:
    """Send one request past the breaker: this command must work while it is open, and must not count towards it."""
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
        sys.exit(masked(f"{settings.API_URL}: no schema from introspection: {answer.errors or answer.data}"))


def _count(answer: Answer) -> int:
    found = answer.data.get("campaigns")
    return len(found) if isinstance(found, list) else 0


def _document(name: str, size: int) -> str:
    batchable = name != "executeEffect"
    return operations.text(name, size if batchable else 1)
