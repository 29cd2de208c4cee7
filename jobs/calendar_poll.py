"""Reads the campaigns' calendars from the main API now and then, some campaigns at a time."""

import time
from datetime import timedelta
from typing import Final

import structlog
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from jobs import calendars
from jobs.errors import JobError
from jobs.main_api.client import MainApi
from jobs.main_api.worlds import MOST, Worlds
from jobs.models import CampaignCalendar, CampaignClock

log = structlog.get_logger(__name__)
FIRST_AFTER: Final = 30.0  #: seconds after the start: catching up with world time comes first
EVERY: Final = 5.0  #: seconds between two requests while campaigns are left
IDLE: Final = 60.0  #: seconds, if none is
OLD: Final = timedelta(hours=1)  #: then a campaign is asked about again


class CalendarPoll:
    """Part of the listener. A failure affects only the calendars: the stored ones stay valid."""

    def __init__(self, api: MainApi) -> None:
        self._worlds = Worlds(api.ask)
        self._at = time.monotonic() + FIRST_AFTER

    def poll(self) -> None:
        """Read some calendars, if it is time."""
        if time.monotonic() >= self._at:
            self._at = time.monotonic() + (EVERY if self.read_some() else IDLE)

    def read_some(self) -> bool:
        """Read the calendars of those that were asked about longest ago; False if there are none or they fail."""
        due = _find_due() if self._worlds.may_be_served else []
        try:
            served = self._worlds.calendars(due) if due else {}
        except JobError as error:
            log.warning("calendars.not_read", error=str(error)[:300])
            return False
        if not due or not self._worlds.may_be_served:
            return False
        calendars.remember(served, asked=due)
        return True


def _find_due() -> list[str]:
    asked = CampaignCalendar.objects.filter(pk=OuterRef("pk")).values("asked_at")
    found = CampaignClock.objects.filter(is_active=True).annotate(asked_at=Subquery(asked))
    old = Q(asked_at=None) | Q(asked_at__lt=timezone.now() - OLD)
    return list(found.filter(old).order_by("asked_at", "pk").values_list("pk", flat=True)[:MOST])
