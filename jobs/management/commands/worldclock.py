"""manage.py worldclock: see, start, pause and stop the campaigns' world clocks."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone
from django.utils.translation import override

from jobs import actor as actors
from jobs.errors import Refused
from jobs.management.output import logs_on_stderr
from jobs.world_clocks import control
from jobs.world_clocks.status import ClockStatus, read_all

_ONE = {
    "start": (control.start, "let a clock run that is off or paused"),
    "pause": (control.pause, "stop a clock at once"),
    "resume": (control.resume, "let a paused clock go on"),
    "stop": (control.stop, "switch a clock off at once"),
}


class Command(BaseCommand):
    """Prints or changes world clocks."""

    help = (
        "World clocks move campaigns' world time by themselves: list them, start, pause, resume or stop one, pause all."
        " Their rates are set in the admin."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs and their options."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("list", help="print all world clocks")
        found = {"pause-all": verbs.add_parser("pause-all", help="pause every running world clock at once")}
        for verb, (_, text) in _ONE.items():
            found[verb] = verbs.add_parser(verb, help=text)
            found[verb].add_argument("campaign", help="the campaign's ID")
        for parsed in found.values():
            parsed.add_argument("--reason", default="", help="for the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each clock that was listed or changed."""
        with logs_on_stderr(), override("en"):
            try:
                lines = self._act(options)
            except Refused as refused:
                raise CommandError(str(refused)) from None
            except DatabaseError as error:
                raise CommandError(f"the database does not answer: {error}") from None
        for line in lines:
            self.stdout.write(line)

    def _act(self, options: dict[str, Any]) -> list[str]:
        match options["verb"]:
            case "list":
                return [_line(status) for status in read_all(timezone.now())] or ["No world clocks."]
            case "pause-all":
                done = control.pause_all(actor=actors.COMMAND, reason=options["reason"])
                return done or ["No world clock runs."]
            case verb:
                return [_ONE[verb][0](options["campaign"], actor=actors.COMMAND, reason=options["reason"])]


def _line(status: ClockStatus) -> str:
    return f"{status.clock.pk}  {status.name}  {status.sentence}"
