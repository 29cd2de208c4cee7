"""Conditions of the service. Each opens an alert when it starts to hold and resolves it when it stops.

`Conditions.check` returns what holds now, and which kinds it could judge: while Redis is down nobody knows whether a
worker runs, so that alert stays as it is.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_noop, ngettext
from rq import Worker as RQWorker

from jobs import pauses
from jobs.broker import keys
from jobs.cron.firing import LATE
from jobs.models import CronTask, OutcomeMinute
from jobs.states import State
from jobs.triggers import questions
from monitoring import health, metrics
from monitoring.alerting.store import LONGEST, Finding, key_of
from monitoring.health import Component, Found
from monitoring.models import Kind, Severity
from scheduler_project.durations import duration_in_words as duration
from scheduler_project.text import line

GONE_S: Final = 10.0  #: Redis or the database does not answer
ABSENT_S: Final = 60.0  #: no worker, scheduler or subscriber
GROWTH: Final = timedelta(minutes=10)  #: the window for new dead letters; the alert resolves after one without any
MOST_QUESTIONS: Final = 50  #: to operators; more of them are on the page
GROWTH_LIMIT: Final = 10  #: new dead letters within GROWTH that open the alert
OVERDUE: Final = LATE + timedelta(seconds=30)  #: a cron run that is further behind counts as missed


@dataclass(slots=True)
class Conditions:
    """Remembers since when something is down, by this process's monotonic clock."""

    clock: Callable[[], float] = time.monotonic
    gone_s: float = GONE_S
    absent_s: float = ABSENT_S
    _down_since: dict[str, float] = field(default_factory=dict)

    def check(self, found: Found, now: datetime, *, still_open: frozenset[str]) -> tuple[list[Finding], set[Kind]]:
        """Return what holds now and the kinds that could be judged. `still_open` are the keys of open alerts."""
        findings = [*self._gone(found), *_cron(now), *growth(now, still_open=still_open), *_lag(), *_questions()]
        judged = {Kind.DATABASE_GONE, Kind.REDIS_GONE, Kind.CRON_MISSED, Kind.DEAD_LETTERS_GROW, Kind.QUEUE_LAG}
        if questions.count_open(MOST_QUESTIONS + 1) <= MOST_QUESTIONS:  # of more, it is not known which are answered
            judged.add(Kind.EVENT_QUESTION)
        if found["redis"].status == health.UP:
            findings += [*self._absent(found), *_breaker(found["circuitBreaker"])]
            judged |= {Kind.NO_WORKER, Kind.NO_SCHEDULER, Kind.NO_SUBSCRIBER, Kind.BREAKER_OPEN}
        else:  # nobody knows which processes run: their time starts over when Redis is back
            for kind in _ABSENT:
                self._down_since.pop(kind, None)
        return findings, judged

    def since_down(self, name: str, *, down: bool) -> float:
        """Return for how many seconds `name` has been down; 0 if it is up."""
        if not down:
            self._down_since.pop(name, None)
            return 0.0
        return self.clock() - self._down_since.setdefault(name, self.clock())

    def _gone(self, found: Found) -> Iterator[Finding]:
        for name, kind, title in (
            ("redis", Kind.REDIS_GONE, gettext_noop("Redis unreachable")),
            ("database", Kind.DATABASE_GONE, gettext_noop("Database unreachable")),
        ):
            component = found[name]
            if self.since_down(name, down=component.status == health.DOWN) >= self.gone_s:
                yield condition(kind, gettext(title), component.message, severity=Severity.CRITICAL)

    def _absent(self, found: Found) -> Iterator[Finding]:
        down = {
            Kind.NO_WORKER: not _has_live_worker(),
            Kind.NO_SCHEDULER: found["scheduler"].status == health.DOWN,
            Kind.NO_SUBSCRIBER: found["redisSubscriber"].status != health.UP,
        }
        for kind, (title, command) in _ABSENT.items():
            if self.since_down(kind, down=down[kind]) >= self.absent_s:
                yield condition(
                    kind,
                    gettext(title),
                    gettext("Start it: manage.py %(command)s.") % {"command": command},
                    severity=Severity.CRITICAL,
                )


_ABSENT: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.NO_WORKER: (gettext_noop("No worker is running"), "rqworker"),
    Kind.NO_SCHEDULER: (gettext_noop("No scheduler is running"), "rqscheduler"),
    Kind.NO_SUBSCRIBER: (gettext_noop("Listener down"), "pubsub_listener"),
}


def condition(kind: Kind, title: str, message: str, *, severity: Severity, about: str = "") -> Finding:
    """Make a finding with one key per kind, or per kind and `about`."""
    key = f"{kind.value}:{about}" if about else kind.value
    return Finding(kind=kind, key=key[:200], severity=severity, title=title, message=message)


def _has_live_worker() -> bool:
    """Return whether a worker sent a heartbeat within a lease; workers send at least three per lease."""
    beats = [w.last_heartbeat for w in RQWorker.all(connection=keys.redis())]
    return any(beat and timezone.now() - beat < settings.LEASE for beat in beats)


def _breaker(component: Component) -> Iterator[Finding]:
    # Half-open counts as open: only the probe gets through.
    if component.status == health.DEGRADED:
        message = gettext("Jobs that need the main API wait; the breaker is %(cause)s.") % {"cause": component.message}
        yield condition(Kind.BREAKER_OPEN, gettext("Circuit breaker open"), message, severity=Severity.CRITICAL)


def _lag() -> Iterator[Finding]:
    oldest = timedelta(seconds=metrics.oldest_queued_seconds())
    if oldest > settings.ALERT_LAG:
        paused = [pauses.as_sentence(pause) for pause in pauses.active()]
        message = gettext("Oldest queued job: %(oldest)s (limit %(limit)s).") % {
            "oldest": duration(oldest),
            "limit": duration(settings.ALERT_LAG),
        }
        message += f" {capfirst('; '.join(paused))}." if paused else ""
        newer = sum(depth.newer for depth in (metrics.queue_depths(keys.redis()) or {}).values())
        if newer:
            text = ngettext(
                "%(count)s job waits for a worker of a newer release: replace the older workers.",
                "%(count)s jobs wait for a worker of a newer release: replace the older workers.",
                newer,
            )
            message += f" {text % {'count': newer}}"
        yield condition(Kind.QUEUE_LAG, gettext("Queue delay"), message, severity=Severity.WARNING)


def _questions() -> Iterator[Finding]:
    for question in questions.find_open(MOST_QUESTIONS):
        if question.default_answer:
            text = gettext(
                "Later work of the campaign waits for an answer until %(until)s; without one it is triggered."
            )
        else:
            text = gettext("Later work of the campaign waits for an answer until %(until)s; without one it expires.")
        until = f"{timezone.localtime(question.deadline):%Y-%m-%d %H:%M:%S %Z}"
        yield Finding(
            kind=Kind.EVENT_QUESTION,
            key=f"{Kind.EVENT_QUESTION.value}:{question.job_id}",
            severity=Severity.WARNING,
            title=line(gettext("Trigger event %(event)s?") % {"event": question.event_name}, LONGEST),
            message=text % {"until": until},
            details={"jobs": [str(question.job_id)]},
            campaigns={question.campaign_id: 1},
        )


def growth(now: datetime, *, still_open: frozenset[str]) -> Iterator[Finding]:
    """GROWTH_LIMIT dead letters within GROWTH; while the alert is open, a single one."""
    recent = OutcomeMinute.objects.filter(minute__gte=now - GROWTH, outcome=State.DEAD)
    dead = recent.aggregate(n=Sum("jobs"))["n"] or 0
    if dead >= (1 if key_of(Kind.DEAD_LETTERS_GROW.value) in still_open else GROWTH_LIMIT):
        text = ngettext(
            "%(count)s new dead letter within %(duration)s.", "%(count)s new dead letters within %(duration)s.", dead
        )
        message = text % {"count": dead, "duration": duration(GROWTH)}
        yield condition(Kind.DEAD_LETTERS_GROW, gettext("Dead letters increasing"), message, severity=Severity.CRITICAL)


def _cron(now: datetime) -> Iterator[Finding]:
    for task in CronTask.objects.filter(enabled=True, next_fire_at__lt=now - OVERDUE):
        message = gettext("Due since %(time)s. Is a scheduler running?") % {
            "time": f"{task.next_fire_at:%Y-%m-%d %H:%M:%S %Z}"
        }
        yield condition(
            Kind.CRON_MISSED,
            gettext("Cron task %(name)s did not fire") % {"name": task.name},
            message,
            severity=Severity.WARNING,
            about=task.name,
        )


def find_late_runs(awaited: Mapping[str, str]) -> tuple[dict[str, str], list[Finding]]:
    """Return the run that each task is expected to do next, and a finding for each that ran late since the last call.

    `awaited` is the expectation that the last call returned. It finds runs that were missed while neither a scheduler
    nor a monitor ran, too.
    """
    late, awaits = [], {}
    tasks = CronTask.objects.filter(enabled=True).values_list("name", "next_fire_at", "last_fired_at")
    for name, next_at, last_at in tasks:
        awaits[name] = next_at.isoformat() if next_at else ""
        due = datetime.fromisoformat(awaited[name]) if awaited.get(name) else None
        if due and last_at and awaits[name] != awaited[name] and last_at - due > LATE:
            message = gettext("Due %(due)s, ran %(duration)s late.") % {
                "due": f"{due:%Y-%m-%d %H:%M:%S %Z}",
                "duration": duration(last_at - due),
            }
            late.append(
                condition(
                    Kind.CRON_MISSED,
                    gettext("Cron task %(name)s ran late") % {"name": name},
                    message,
                    severity=Severity.WARNING,
                    about=name,
                )
            )
    return awaits, late
