"""The public interface of pauses: jobs of a paused queue, type or campaign do not start until the pause ends.

Running jobs finish. Due jobs stay QUEUED and run when the pause ends. The database holds the pauses; workers read a
copy in Redis.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Subquery, When
from django.utils import timezone
from django.utils.translation import gettext
from redis import Redis, RedisError

from jobs import actor as actors
from jobs import audit
from jobs.broker import keys
from jobs.broker import pauses as redis_copy
from jobs.errors import InvalidPause, StateConflict
from jobs.models import CampaignClock, Job, Pause, PauseKind
from jobs.registry import all_types
from jobs.states import Priority
from scheduler_project import text
from scheduler_project.fixed_query import FixedQuery
from scheduler_project.links import page

log = structlog.get_logger(__name__)
LONGEST: Final = timedelta(days=3660)  #: a pause cannot be longer, except without an end
TRIES: Final = 5  #: to replace the pause that there is, while others pause the same
ALIKE: Final = timedelta(seconds=10)  #: ends that differ by less are the same: of a length that was chosen twice
ANY: Final = -1  #: replace whatever pause there is
_LONGEST_REASON: Final = 500
_MOST_ENDED: Final = 30  #: pauses in the history
_RESUME: Final = "resume"  #: takes a pause back: `resume/<its ID>`
_PAUSE: Final = "pause"  #: takes it back that a pause was ended


def pause(
    kind: str,
    name: str,
    *,
    until: datetime | None = None,
    actor: str,
    reason: str = "",
    replaces: int | None = ANY,
) -> Pause:
    """Pause a queue, type or campaign until `until`, or until it is resumed.

    Returns the existing pause if it has the same end and reason. Any other is replaced if it is the one that `replaces`
    names by its ID; else raises StateConflict, which describes it. Raises InvalidPause, naming the field.
    """
    _check(kind, name, until, timezone.now())
    reason = text.line(reason, _LONGEST_REASON)
    new = Pause(kind=kind, name=name, until=until, actor=actor, reason=reason)
    with transaction.atomic():
        stored, replaced = _replace(new, replaces)
        if stored is not new:
            transaction.on_commit(partial(_publish_or_warn, keys.redis()))
            return stored
        audit.record(
            actor=actor,
            verb="paused",
            target=str(new),
            reason=reason,
            link=_page(),
            changes=_compare(replaced, new),
            undo=undo_of(new),
        )
        transaction.on_commit(partial(_publish_or_warn, keys.redis()))
    log.warning("pause.started", kind=kind, name=name, actor=actor, until=until and until.isoformat(), reason=reason)
    return new


def _replace(new: Pause, replaces: int | None) -> tuple[Pause, Pause | None]:
    """Store the pause in place of the one there is, and return both. If the same is there already, return that."""
    for _ in range(TRIES):
        new.since = timezone.now()
        there = Pause.objects.filter(kind=new.kind, name=new.name, ended_at=None).first()
        if there and _is_same(there, new):
            return there, None
        if there and replaces not in (ANY, there.pk) and _lasts(there, new.since):
            raise StateConflict(as_sentence(there))
        ended = _end(Pause.objects.filter(pk=there.pk), new.since, new.actor, "replaced by another") if there else []
        try:
            with transaction.atomic():
                new.save(force_insert=True)
        except IntegrityError:  # somebody has paused it since
            continue
        return new, ended[0] if ended else None
    conflict = gettext("%(paused)s is being paused by others")
    raise InvalidPause("name", conflict % {"paused": name_paused(new.kind, new.name)})


def _is_same(there: Pause, new: Pause) -> bool:
    """Whether a second press, or another operator at the same time, asks for the existing pause."""
    if there.reason != new.reason or there.until is None or new.until is None:
        return there.reason == new.reason and there.until == new.until
    return abs(there.until - new.until) < ALIKE


def _lasts(there: Pause, now: datetime) -> bool:
    return there.until is None or there.until > now


def _compare(was: Pause | None, now: Pause) -> dict[str, tuple[str | None, str]]:
    """What a pause changed, as the audit trail keeps it."""
    changes: dict[str, tuple[str | None, str]] = {}
    changes["until"] = (_write_until(was.until) if was else None, _write_until(now.until))
    if was and was.reason:
        changes["reason"] = (was.reason, now.reason)
    return {field: (before, after) for field, (before, after) in changes.items() if before != after}


def _write_until(until: datetime | None) -> str:
    """As the audit trail keeps it."""
    return until.isoformat() if until else "until resumed"


def resume(kind: str, name: str, *, actor: str, reason: str = "") -> Pause | None:
    """End a pause. Returns it; None if there was none."""
    reason = text.line(reason, _LONGEST_REASON)
    with transaction.atomic():
        ended = _end(Pause.objects.filter(kind=kind, name=name), timezone.now(), actor, reason)
        for over in ended:
            link, undo = _page(), undo_of(over)
            audit.record(actor=actor, verb="resumed", target=str(over), reason=reason, link=link, undo=undo)
        if ended:
            transaction.on_commit(partial(_publish_or_warn, keys.redis()))
    if ended:
        log.warning("pause.ended", kind=kind, name=name, actor=actor, reason=reason)
    return ended[0] if ended else None


def undo_of(found: Pause) -> str:
    """What takes it back that the pause began or, if it has ended, that it was ended."""
    return f"{_PAUSE if found.ended_at else _RESUME}/{found.pk}"


def find_undoable(undos: Iterable[str]) -> set[str]:
    """Return the `undo` of the actions after which nobody has paused or resumed the same; one query."""
    wanted = {undo: key for undo in undos if (key := undo.partition("/")[2]).isdecimal()}
    later = Pause.objects.filter(kind=OuterRef("kind"), name=OuterRef("name"), pk__gt=OuterRef("pk"))
    lasts = Q(until=None) | Q(until__gt=timezone.now())
    latest = Pause.objects.filter(lasts, ~Exists(later), pk__in=set(wanted.values()))
    return wanted.keys() & {undo_of(one) for one in latest}


def take_back(undo: str, *, actor: str) -> Pause:
    """Take back a pause or a resumption. Returns the pause that began or ended.

    Raises StateConflict if somebody has paused or resumed it since, or the pause would have ended by now.
    """
    with transaction.atomic():
        if not find_undoable([undo]):
            raise StateConflict(gettext("it has been paused or resumed since, or the pause is over"))
        found = Pause.objects.get(pk=undo.partition("/")[2])
        if found.ended_at is not None:
            return pause(found.kind, found.name, until=found.until, actor=actor, reason=found.reason)
        same = Pause.objects.filter(kind=found.kind, name=found.name)
        replaced = same.filter(Q(until=None) | Q(until__gt=timezone.now()), ended_at=found.since).first()
        if replaced:
            return pause(found.kind, found.name, until=replaced.until, actor=actor, reason=replaced.reason)
        return resume(found.kind, found.name, actor=actor) or found


def find(kind: str, name: str) -> Pause | None:
    """Return the current pause of a queue, type or campaign."""
    there = Pause.objects.filter(kind=kind, name=name, ended_at=None).first()
    return there if there and _lasts(there, timezone.now()) else None


def active() -> list[Pause]:
    """Return the current pauses, oldest first, with `campaign_name`; one query."""
    now = timezone.now()
    return [one for one in Pause.objects.raw(*_NOT_ENDED.sql) if one.until is None or one.until > now]


def history() -> list[Pause]:
    """Return the pauses that ended last, newest first, with `campaign_name`; one query."""
    return list(_with_campaign_names(Pause.objects.exclude(ended_at=None).order_by("-ended_at"))[:_MOST_ENDED])


def _with_campaign_names(found: QuerySet[Pause]) -> Any:
    name = Subquery(CampaignClock.objects.filter(pk=OuterRef("name")).values("name"))
    return found.annotate(campaign_name=Case(When(kind=PauseKind.CAMPAIGN, then=name)))


_NOT_ENDED: Final = FixedQuery(lambda: _with_campaign_names(Pause.objects.filter(ended_at=None).order_by("id")))


def campaigns() -> frozenset[str]:
    """Return the IDs of paused campaigns."""
    return frozenset(pause.name for pause in active() if pause.kind == PauseKind.CAMPAIGN)


def blocking_pauses(job: Job, pauses: list[Pause]) -> list[Pause]:
    """Return those of `pauses` that apply to the job."""
    queue = Priority(job.priority).queue
    of_job = {(PauseKind.QUEUE, queue), (PauseKind.TYPE, job.type), (PauseKind.CAMPAIGN, job.campaign_id)}
    return [p for p in pauses if (p.kind, p.name) in of_job]


def campaign_names(found: Sequence[Any]) -> dict[str, str]:
    """Return the names of the paused campaigns by ID."""
    return {pause.name: pause.campaign_name for pause in found if pause.campaign_name}


def as_sentence(found: Pause, name: str = "") -> str:
    """Describe a pause: "campaign c-1 is paused by ann until 2026-05-01 12:00:00 UTC (a reason)".

    With `name`, the campaign's name precedes its ID. Of an ended one: "campaign c-1 is not paused".
    """
    paused = name_paused(found.kind, f"{name} ({found.name})" if name else found.name)
    if found.ended_at:
        return gettext("%(paused)s is not paused") % {"paused": paused}
    said = {"paused": paused, "who": actors.name_of(found.actor)}
    if found.until:
        said["until"] = f"{timezone.localtime(found.until):%Y-%m-%d %H:%M:%S %Z}"
        text = gettext("%(paused)s is paused by %(who)s until %(until)s")
    else:
        text = gettext("%(paused)s is paused by %(who)s until resumed")
    return text % said + (f" ({found.reason})" if found.reason else "")


def name_paused(kind: str, name: str) -> str:
    """A queue, job type or campaign by kind and name.

    >>> name_paused("queue", "low")
    'queue low'
    """
    names = {
        PauseKind.QUEUE: gettext("queue %(name)s"),
        PauseKind.TYPE: gettext("job type %(name)s"),
        PauseKind.CAMPAIGN: gettext("campaign %(name)s"),
    }
    return names[PauseKind(kind)] % {"name": name} if kind in names else f"{kind} {name}"


def publish(connection: Redis) -> bool:
    """Copy the current pauses to Redis. Raises redis.RedisError and database errors."""
    return redis_copy.publish(_read, connection)


def sync(connection: Redis) -> None:
    """End expired pauses, and publish the pauses if the copy in Redis differs from the database.

    Raises redis.RedisError and database errors.
    """
    now = timezone.now()
    over = Pause.objects.filter(until__lte=now)
    if over.filter(ended_at=None).exists():  # no write transaction on every call: SQLite has only one writer
        with transaction.atomic():
            for ended in _end(over, now, actors.SCHEDULER, "expired"):
                why = "expired"
                audit.record(actor=actors.SCHEDULER, verb="resumed", target=str(ended), reason=why, link=_page())
    if not redis_copy.is_current(_read(), connection):
        publish(connection)


def _read() -> dict[str, datetime | None]:
    return {p.key: p.until for p in active()}


def _end(pauses: QuerySet[Pause], now: datetime, actor: str, reason: str) -> list[Pause]:
    """End those of `pauses` that have not ended, each only once even if several processes do so."""
    over = {"ended_at": now, "ended_by": actor, "ended_reason": reason}
    ended = [one for one in pauses.filter(ended_at=None) if pauses.filter(pk=one.pk, ended_at=None).update(**over)]
    for one in ended:
        one.ended_at = now
    return ended


def _publish_or_warn(connection: Redis) -> None:
    try:
        publish(connection)
    except RedisError as error:
        log.warning("pause.redis_unreachable", error=str(error), next="the scheduler publishes it when Redis is back")


def _page() -> str:
    return page("jobs_pause_changelist")


def _check(kind: str, name: str, until: datetime | None, now: datetime) -> None:
    known = {PauseKind.QUEUE: tuple(settings.RQ_QUEUES), PauseKind.TYPE: tuple(all_types())}
    if kind not in PauseKind.values:
        raise InvalidPause("kind", gettext("must be one of %(kinds)s") % {"kinds": ", ".join(PauseKind.values)})
    if kind == PauseKind.CAMPAIGN and not text.is_id(name):
        raise InvalidPause("name", gettext("“%(name)s” cannot be the ID of a campaign") % {"name": name})
    if kind in known and name not in known[PauseKind(kind)]:
        raise InvalidPause("name", gettext("there is no %(paused)s") % {"paused": name_paused(kind, name)})
    if until is not None and (until.tzinfo is None or not now < until <= now + LONGEST):
        message = gettext("must be a future time with its offset from UTC, not %(until)s")
        raise InvalidPause("until", message % {"until": until.isoformat()})
