"""manage.py check_main_api: check the main API at API_URL against the contract, without changing anything."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from jobs import actor as actors
from jobs import main_api_check
from jobs.main_api.conformance.report import CheckOutcome, PointVerdict, Report, Verdict
from jobs.management.output import logs_on_stderr

_SUMMARIES = {
    CheckOutcome.FITS: "The main API fits.",
    CheckOutcome.TOLERATED: "The main API differs from its contract. The scheduler works with it.",
    CheckOutcome.CANNOT_WORK: "The scheduler cannot work with this main API",
    CheckOutcome.UNREACHABLE: "The main API cannot be reached",
}


class Command(BaseCommand):
    """Checks the main API."""

    help = (
        "Check the main API at API_URL against its contract, point by point, without changing anything there. "
        "Exit codes: 0 the scheduler works with it, 1 it cannot, 3 the main API cannot be reached."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the report as JSON (docs/main-api.md)")
        parser.add_argument(
            "--effect",
            action="append",
            default=[],
            metavar="ID",
            help="an effect to execute as a dry run; by default those of the newest jobs",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each point and store the report. Exits with the code of the outcome."""
        with logs_on_stderr():
            report = main_api_check.run(actor=actors.COMMAND, effects=options["effect"] or self._effect_ids())
            self._store(report)
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
        else:
            self._print(report)
        if report.exit_code:
            sys.exit(report.exit_code)

    def _effect_ids(self) -> list[str]:
        try:
            return main_api_check.effect_ids()
        except DatabaseError as error:
            self.stderr.write(f"The database does not answer, so no effect is known: {error}")
            return []

    def _store(self, report: Report) -> None:
        """Keep the report for the admin; the check is of use without it."""
        try:
            main_api_check.store(report)
        except DatabaseError as error:
            self.stderr.write(f"The report is not stored: {error}")

    def _print(self, report: Report) -> None:
        if report.reason:
            self.stdout.write(self.style.ERROR(f"{_SUMMARIES[report.outcome]}: {report.url}: {report.reason}."))
            return
        self.stdout.write(f"Connected to {report.url}; {report.campaigns} campaigns are visible.")
        self._print_operations(report)
        for point in report.points:
            text = f"{point.point:>2} {point.what}: {point.as_sentence()}"
            self.stdout.write(self.style.ERROR(text) if point.verdict is Verdict.FAULT else text)
        for fault in report.faults:
            self.stdout.write(self.style.ERROR(f"   The API's fault: {fault}."))
        self._print_outcome(report)

    def _print_outcome(self, report: Report) -> None:
        """Print the outcome, and what a fault may hide."""
        text = _SUMMARIES[report.outcome].rstrip(".")
        unseen = [point for point in report.points if point.verdict is Verdict.NOT_SEEN]
        if report.faulty:
            text += f": see {_numbers(report.faulty)}"
            text += f". Check again when that is changed: {_numbers(unseen)} could not be seen" if unseen else ""
        self.stdout.write(f"{text}.")

    def _print_operations(self, report: Report) -> None:
        if report.schema:
            self.stdout.write(f"Operations are not validated: no schema from introspection: {report.schema}.")
            return
        for name, fault in report.invalid_operations.items():
            self.stdout.write(self.style.ERROR(f"   {name}: does not match the schema: {fault}"))
        fitting = len(report.operations) - len(report.invalid_operations)
        self.stdout.write(f"{fitting} of {len(report.operations)} operations match the schema.")


def _numbers(points: list[PointVerdict]) -> str:
    """
    >>> from types import SimpleNamespace as Point
    >>> _numbers([Point(point=8)]), _numbers([Point(point=8), Point(point=10)])
    ('point 8', 'points 8, 10')
    """
    return f"point{'s' * (len(points) > 1)} {', '.join(str(point.point) for point in points)}"
