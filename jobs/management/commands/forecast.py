"""manage.py forecast: what will happen in a campaign, if nobody interferes."""

import sys
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import override

from jobs.errors import JobError
from jobs.main_api import wire
from jobs.main_api.client import main_api
from jobs.management.output import logs_on_stderr
from jobs.schedules.forecast import LONGEST_DAYS, Forecast, Line
from jobs.schedules.forecast_json import line_as_json
from jobs.schedules.towns import read_world


class Command(BaseCommand):
    help = (
        "Print everything that will happen in a campaign in the next days of its clock, if nobody interferes. "
        "Reads the main API and the schedules, and changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("campaign", help="the campaign's ID")
        parser.add_argument("--days", type=int, default=30, help=f"1 to {LONGEST_DAYS}; 30 by default")
        parser.add_argument("--town", default="", help="a settlement's ID, or a part of its name; all by default")
        parser.add_argument("--limit", type=int, default=0, help="lines to print; all by default")
        parser.add_argument("--json", action="store_true", help="a JSON object per line, as the HTTP API has it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the lines as they are calculated: a long forecast takes no more memory than a short one."""
        if not 1 <= options["days"] <= LONGEST_DAYS:
            raise CommandError(f"--days must be from 1 to {LONGEST_DAYS}")
        if options["limit"] < 0:
            raise CommandError("--limit must not be negative")
        with logs_on_stderr(), override("en"):
            forecast = self._read(options["campaign"], options["town"], options["days"])
            for line in islice(forecast.lines(), options["limit"] or None):
                try:
                    self._print(line, forecast, as_json=options["json"])
                except BrokenPipeError:  # the reader has seen enough
                    sys.stderr.close()
                    return

    def _read(self, campaign_id: str, town: str, days: int) -> Forecast:
        try:
            world = read_world(main_api(), campaign_id, town=town)
            forecast = Forecast(world, days)
        except JobError as error:
            raise CommandError(f"no forecast: {error}") from None
        except DatabaseError as error:
            raise CommandError(f"no forecast: the database does not answer: {error}") from None
        for name, failure in world.failed.items():
            self.stderr.write(f"{name} cannot be read and is left out: {failure}")
        if not world.campaign.is_active:
            self.stderr.write("The campaign is inactive: nothing will happen.")
        return forecast

    def _print(self, line: Line, forecast: Forecast, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(wire.encode(line_as_json(line, forecast.world.now)).decode())
            return
        of = line.entity_name
        if line.town and line.town.settlement.id != line.entity_id:
            of += f" in {line.town.settlement.name}"
        self.stdout.write(f"{line.at.isoformat()}  {line.event:<21}  {of}: {line.summary}")
