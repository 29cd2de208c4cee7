"""The door to pauses: jobs of a queue, type or campaign do not start until its time is over or somebody resumes it.

What runs goes on to its end; what is due stays QUEUED and runs when the pause is over. The database holds the pauses,
the workers' turns look at their copy in Redis.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When
from django.utils import timezone
from redis import Redis, RedisError

from jobs import actor as actors
from jobs import audit
from jobs.broker import keys
from jobs.broker import pauses as holds
from jobs.errors import InvalidPause
from jobs.models import CampaignClock, Job, Pause, PauseKind
from jobs.registry import all_types
from jobs.states import Priority
from scheduler_project import text
from scheduler_project.links import page

log = structlog.get_logger(__name__)
LONGEST: Final = timedelta(days=3660)  #: a pause that is to last longer has no end
_LONGEST_REASON: Final = 500


def pause(kind: str, name: str, *, until: datetime | None = None, actor: str, reason: str = "") -> Pause:
    """Hold back the jobs of a queue, type or campaign until `until`, or until somebody resumes it.

    What was paused already gets the new end and reason. Raises InvalidPause, naming the field.
    """
    now = timezone.now()
    _check(kind, name, until, now)
    reason = text.line(reason, _LONGEST_REASON)
    with transaction.atomic():
        _end(Pause.objects.filter(kind=kind, name=name), now, actor, "replaced by another")
        new = Pause.objects.create(kind=kind, name=name, until=until, actor=actor, reason=reason, since=now)
        changes = {"until": (None, until.isoformat() if until else "somebody resumes it")}
        audit.record(actor=actor, verb="paused", target=str(new), reason=reason, link=_page(), changes=changes)
        transaction.on_commit(partial(_tell, keys.redis()))
    log.warning("pause.started", kind=kind, name=name, actor=actor, until=until and until.isoformat(), reason=reason)
    return new


def resume(kind: str, name: str, *, actor: str, reason: str = "") -> bool:
    """End a pause; whether there was one."""
    reason = text.line(reason, _LONGEST_REASON)
    with transaction.atomic():
        ended = _end(Pause.objects.filter(kind=kind, name=name), timezone.now(), actor, reason)
        for over in ended:
            audit.record(actor=actor, verb="resumed", target=str(over), reason=reason, link=_page())
        if ended:
            transaction.on_commit(partial(_tell, keys.redis()))
    if ended:
        log.warning("pause.ended", kind=kind, name=name, actor=actor, reason=reason)
    return bool(ended)


def active() -> list[Pause]:
    """The pauses that hold now, oldest first, with the names of campaigns (`called`); one query."""
    now = timezone.now()
    return list(
        _with_campaign_names(Pause.objects.filter(Q(until=None) | Q(until__gt=now), ended_at=None).order_by("id"))
    )


def history(most: int = 30) -> list[Pause]:
    """The pauses that ended last, with the names of campaigns; one query."""
    return list(_with_campaign_names(Pause.objects.exclude(ended_at=None).order_by("-ended_at"))[:most])


def _with_campaign_names(found: QuerySet[Pause]) -> Any:
    name = Subquery(CampaignClock.objects.filter(pk=OuterRef("name")).values("name"))
    return found.annotate(campaign_name=Case(When(kind=PauseKind.CAMPAIGN, then=name)))


def campaigns() -> frozenset[str]:
    """The ids of the campaigns that are paused now."""
    return frozenset(pause.name for pause in active() if pause.kind == PauseKind.CAMPAIGN)


def holding(job: Job, pauses: list[Pause]) -> list[Pause]:
    """Those of `pauses` that hold the job back."""
    queue = Priority(job.priority).queue
    of_job = {(PauseKind.QUEUE, queue), (PauseKind.TYPE, job.type), (PauseKind.CAMPAIGN, job.campaign_id)}
    return [p for p in pauses if (p.kind, p.name) in of_job]


def names(held: Sequence[Any]) -> dict[str, str]:
    """The names of the campaigns among the pauses that hold, by id."""
    return {pause.name: pause.campaign_name for pause in held if pause.campaign_name}


def as_sentence(held: Pause, name: str = "") -> str:
    """Who paused what, until when and why: "campaign c-1 is paused by ann until 2026-05-01 12:00:00 UTC (a reason)".

    A campaign's `name` stands before its id.
    """
    who = held.actor.removeprefix("user:")
    end = f"{timezone.localtime(held.until):%Y-%m-%d %H:%M:%S %Z}" if held.until else "somebody resumes it"
    what = f"{held.get_kind_display()} {name} ({held.name})" if name else str(held)
    return f"{what} is paused by {who} until {end}" + (f" ({held.reason})" if held.reason else "")


def publish(connection: Redis) -> bool:
    """Tell the workers what is paused. Raises redis.RedisError and database errors."""
    return holds.publish(_read, connection)


def sync(connection: Redis) -> None:
    """End pauses whose time is over, and tell the workers where Redis says something else than the database.

    Raises redis.RedisError and database errors.
    """
    now = timezone.now()
    over = Pause.objects.filter(until__lte=now)
    if over.filter(ended_at=None).exists():  # not each time a transaction that writes: SQLite has but one writer
        with transaction.atomic():
            for ended in _end(over, now, actors.SCHEDULER, "its time was over"):
                why = "its time was over"
                audit.record(actor=actors.SCHEDULER, verb="resumed", target=str(ended), reason=why, link=_page())
    if not holds.stands(_read(), connection):
        publish(connection)


def _read() -> dict[str, datetime | None]:
    return {p.key: p.until for p in active()}


def _end(pauses: QuerySet[Pause], now: datetime, actor: str, reason: str) -> list[Pause]:
    """End those of `pauses` that have not ended, once however many processes do so."""
    over = {"ended_at": now, "ended_by": actor, "ended_reason": reason}
    return [one for one in pauses.filter(ended_at=None) if pauses.filter(pk=one.pk, ended_at=None).update(**over)]


def _tell(connection: Redis) -> None:
    try:
        publish(connection)
    except RedisError as error:
        log.warning("pause.redis_lost", error=str(error), next="the scheduler tells the workers when Redis is back")


def _page() -> str:
    """Where people see what is paused, and resume it."""
    return page("jobs_pause_changelist")


def _check(kind: str, name: str, until: datetime | None, now: datetime) -> None:
    known = {PauseKind.QUEUE: tuple(settings.RQ_QUEUES), PauseKind.TYPE: tuple(all_types())}
    if kind not in PauseKind.values:
        raise InvalidPause("kind", f"{kind!r} is none of {', '.join(PauseKind.values)}")
    if kind == PauseKind.CAMPAIGN and not text.is_id(name):
        raise InvalidPause("name", f"{name!r} cannot be the id of a campaign")
    if kind in known and name not in known[PauseKind(kind)]:
        raise InvalidPause("name", f"there is no {PauseKind(kind).label} {name!r}")
    if until is not None and (until.tzinfo is None or not now < until <= now + LONGEST):
        raise InvalidPause("until", f"expected a time to come, with its offset from UTC, not {until.isoformat()}")
