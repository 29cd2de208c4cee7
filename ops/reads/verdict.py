"""One verdict on the whole service: healthy, degraded or down, since when, why, and the page that shows more."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from django.db.models import Subquery
from django.utils.translation import gettext, gettext_noop

from jobs.cron import firing as cron
from jobs.models import CronTask, Job
from jobs.states import WAITING, State
from ops.humanize import duration
from ops.reads.status import Component, find_components

KEPT_S: Final = 2.0
Level = Literal["healthy", "degraded", "down"]
#: Without one of these no job is done; without any other, less is done than should be.
ESSENTIAL: Final = frozenset({"database", "Redis", "main API", "workers", "scheduler"})
PAGES: Final = {
    "main API": "admin:jobs_main_api",
    "breaker": "admin:jobs_breaker",
    "jobs": "admin:jobs_failuregroup_changelist",
    **dict.fromkeys(("workers", "scheduler", "listener", "monitor", "processes"), "admin:jobs_processes"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the service is not healthy."""

    text: str
    page: str = ""  #: the name of a URL; empty: no page shows more
    query: str = ""
    since: datetime | None = None  #: None if nobody noticed when it began


@dataclass(frozen=True, slots=True)
class Verdict:
    level: Level
    reasons: Sequence[Reason] = ()
    since: datetime | None = None  #: since when it is on this level, as far as anybody noticed

    @property
    def title(self) -> str:
        return {"healthy": gettext("Healthy"), "degraded": gettext("Degraded"), "down": gettext("Down")}[self.level]


@dataclass(frozen=True, slots=True)
class Incident:
    title: str
    url: str
    is_critical: bool
    since: datetime
    acknowledged_by: str


Source = Callable[[], Sequence[Incident]]
sources: dict[str, Source] = {}


def add_incidents(name: str, source: Source) -> None:
    """Show the incidents of `source`, most severe first. A source of the same name is replaced."""
    sources[name] = source


def find_incidents() -> list[Incident]:
    return [incident for source in sources.values() for incident in source()]


class _Cache:
    """This process's last verdict on the components: every page needs one."""

    def __init__(self) -> None:
        self._at = float("-inf")
        self._verdict = Verdict("healthy")

    def read(self) -> Verdict:
        if time.monotonic() - self._at >= KEPT_S:
            self._at = time.monotonic()
            self._verdict = judge(find_components())
        return self._verdict


find_verdict: Final = _Cache().read


def judge(components: Sequence[Component], overdue: Sequence[Reason] = ()) -> Verdict:
    """Judge by the components' states and what is overdue. What nobody has looked at yet counts as healthy.

    A service that is down is so since an essential component is, however long it was degraded before.
    """
    faults = [c for c in components if c.status in ("degraded", "down")]
    broken = [c for c in faults if c.status == "down" and c.name in ESSENTIAL]
    decisive = [_reason(c, faults) for c in broken]
    lesser = [*(_reason(c, faults) for c in faults if c not in broken), *overdue]
    if decisive:
        return Verdict("down", [*decisive, *lesser], _earliest(reason.since for reason in decisive))
    return Verdict("degraded" if lesser else "healthy", lesser, _earliest(reason.since for reason in lesser))


def _reason(component: Component, faults: Sequence[Component]) -> Reason:
    message = component.message.removeprefix(f"{component.name}: ") or component.status_text
    text = f"{component.title}: {message}"
    seen = (c.since for c in faults if c is component or c.shows == component.name)
    return Reason(text, PAGES.get(component.name, ""), since=_earliest(seen))


def _earliest(times: Iterable[datetime | None]) -> datetime | None:
    return min((at for at in times if at), default=None)


_OVERDUE: Final = {
    State.SCHEDULED: gettext_noop("a scheduled job is overdue by %(duration)s"),
    State.RETRYING: gettext_noop("a retry is overdue by %(duration)s"),
}


def find_overdue(now: datetime, firings: Sequence[CronTask]) -> list[Reason]:
    """What the scheduler should have done: the most overdue job of each state, and the first of the next `firings`.

    One query.
    """
    firsts: list[Any] = [Subquery(Job.objects.in_state(state).order_by("due_at").values("pk")[:1]) for state in WAITING]
    due_times = dict(Job.objects.filter(pk__in=firsts).order_by().values_list("state", "due_at"))
    found = [
        Reason(
            gettext(_OVERDUE[state]) % {"duration": duration(now - due)},
            "admin:jobs_job_changelist",
            f"?state={state.value}",
            due,
        )
        for state in WAITING
        if (due := due_times.get(state)) and now - due > cron.LATE
    ]
    for task in firings[:1]:
        if task.next_fire_at and now - task.next_fire_at > cron.LATE:
            said = {"name": task.name, "duration": duration(now - task.next_fire_at)}
            text = gettext("cron task %(name)s is overdue by %(duration)s") % said
            found.append(Reason(text, "admin:jobs_crontask_changelist", since=task.next_fire_at))
    return found
