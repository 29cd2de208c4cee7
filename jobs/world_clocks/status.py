"""How world clocks stand, for pages, commands, health and metrics."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from django.db.models import Count, QuerySet
from django.utils.translation import gettext

from jobs import calendars
from jobs.models import CampaignClock, ClockState, Job, WorldClock
from jobs.world import ticking
from jobs.world_clocks.sentences import describe, describe_rate
from jobs.world_clocks.settings import Settings
from scheduler_project.durations import duration_in_words as duration
from scheduler_project.durations import exact_duration
from scheduler_project.fixed_query import FixedQuery

_ORDER: Final = (ClockState.RUNNING, ClockState.PAUSED, ClockState.OFF)


@dataclass(frozen=True)
class ClockStatus:
    """A world clock at a moment."""

    clock: WorldClock
    name: str
    """The campaign's; its ID if it is unknown."""
    now: datetime
    hours_per_day: int = 24

    @property
    def runs(self) -> bool:
        return self.clock.state == ClockState.RUNNING

    @property
    def rate(self) -> str:
        return describe_rate(self.clock.rate, self.hours_per_day)

    @property
    def state(self) -> str:
        return gettext("waiting") if self.clock.waits else self.clock.get_state_display()

    @property
    def due_text(self) -> str:
        """What stands for the time of a step that is due; empty for one that is to come, or is overdue."""
        due = self.clock.next_at
        if due is None or due > self.now:
            return ""
        if self.clock.waits:
            return gettext("once it no longer waits")
        return gettext("now") if self.now - due <= ticking.LATE else ""

    @property
    def moved_today(self) -> int:
        """World seconds; 0 for a row that was edited in the database so that it cannot be read."""
        kept = ticking.Position(counted_until=self.now, day=self.clock.day, moved=self.clock.moved)
        try:
            return ticking.moved_today(Settings.of(self.clock).rule(), kept, self.now)
        except ValueError:
            return 0

    @property
    def today(self) -> str:
        """World time that was moved today, and its limit."""
        said = {"moved": exact_duration(self.moved_today), "limit": exact_duration(self.clock.most_per_day)}
        return gettext("%(moved)s of %(limit)s") % said

    @property
    def step(self) -> str:
        """World time of the last step."""
        return exact_duration(self.clock.step_seconds)

    @cached_property
    def job(self) -> Job | None:
        """Of the last step; None once retention has deleted it."""
        job_id = self.clock.step_job_id
        return Job.objects.defer("traceback").filter(pk=job_id).first() if job_id else None

    @property
    def sentences(self) -> list[str]:
        """What the clock does; nothing for a row that was edited in the database so that it cannot be read."""
        settings = Settings.of(self.clock)
        return [] if settings.faults() else describe(settings, self.hours_per_day)

    @property
    def sentence(self) -> str:
        """All of it, in one line."""
        parts = [self.state, self.rate, gettext("today %(moved)s") % {"moved": self.today}]
        if self.clock.next_at:
            due = self.clock.next_at - self.now
            if due.total_seconds() > 0:
                parts.append(gettext("next step in %(duration)s") % {"duration": duration(due)})
            else:
                parts.append(gettext("next step due"))
        if self.clock.problem:
            last = gettext("last problem: %(problem)s") % {"problem": self.clock.problem}
            parts.append(self.clock.problem if self.clock.waits else last)
        return ", ".join(parts)


def read_all(now: datetime) -> list[ClockStatus]:
    """All world clocks, the running ones first; two queries."""
    return _read(WorldClock.objects.all(), now)


def read_first(now: datetime, most: int) -> list[ClockStatus]:
    """Some of the running clocks, those that wait last; two queries."""
    return _read(WorldClock.objects.filter(state=ClockState.RUNNING).order_by("waits", "campaign_id")[:most], now)


def _read(found_clocks: QuerySet[WorldClock], now: datetime) -> list[ClockStatus]:
    clocks = {clock.pk: clock for clock in found_clocks}
    if not clocks:
        return []
    named = CampaignClock.objects.filter(pk__in=clocks).annotate(**calendars.annotations("pk"))
    campaigns: dict[str, Any] = {campaign.pk: campaign for campaign in named}
    found = [_status(clock, campaigns.get(clock.pk), now) for clock in clocks.values()]
    return sorted(found, key=lambda one: (_ORDER.index(ClockState(one.clock.state)), one.name))


def read_one(campaign: CampaignClock, now: datetime, hours_per_day: int) -> ClockStatus | None:
    """The campaign's; None if nobody has set one up."""
    clock = WorldClock.objects.filter(pk=campaign.pk).first()
    return ClockStatus(clock, campaign.name or campaign.pk, now, hours_per_day) if clock else None


def count() -> Mapping[str, int]:
    """Clocks that are on, by state: running, waiting (running, but something holds it up) and paused. One query."""
    found: Counter[str] = Counter(running=0, waiting=0, paused=0)
    for state, waits, clocks in _ON.rows():
        found["waiting" if waits else state] += clocks
    return found


_ON: Final = FixedQuery(
    lambda: (
        WorldClock.objects.exclude(state=ClockState.OFF)
        .order_by()
        .values_list("state", "waits")
        .annotate(n=Count("pk"))
    )
)


def _status(clock: WorldClock, campaign: Any, now: datetime) -> ClockStatus:
    if campaign is None:
        return ClockStatus(clock, clock.pk, now)
    calendar = calendars.choose(campaign.own_calendar, campaign.served_calendar).calendar
    return ClockStatus(clock, campaign.name or clock.pk, now, calendar.hours_per_day)
