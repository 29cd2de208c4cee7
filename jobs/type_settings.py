"""The public interface of job types' settings: attempts, backoff, time limit and concurrency, changed while all runs.

The database holds what was changed; each process reads a copy in Redis, a second or two old. The declaration of the
type and the environment are the defaults.
"""

from functools import partial
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext
from redis import Redis, RedisError

from jobs import audit, overrides, taking_back
from jobs.broker import keys
from jobs.broker import overrides as redis_copy
from jobs.errors import InvalidSetting
from jobs.models import TypeSettings
from jobs.overrides import Overrides
from jobs.registry import type_named
from scheduler_project.links import page
from scheduler_project.numbers import format_number
from scheduler_project.text import line

log = structlog.get_logger(__name__)
RANGES: Final = {
    "max_attempts": (1, 1_000),
    "backoff_ms": (1, 3_600_000),
    "timeout_s": (1, 86_400),
    "concurrency": (1, 10_000),
}  #: the smallest and the largest value of each field
_LONGEST_REASON: Final = 500
_KIND: Final = "type"  #: in an operator action's `undo`


def set_overrides(job_type: str, wanted: Overrides, *, actor: str, reason: str) -> bool:
    """Set all values of a type; None is back to its default. Returns whether anything changed.

    Raises InvalidSetting, naming the field, and InvalidJob for a type that does not exist.
    """
    type_named(job_type)
    for field, value in wanted._asdict().items():
        _check(field, value)
    reason = line(reason, _LONGEST_REASON)
    if not reason:
        raise InvalidSetting("reason", gettext("say why: others will wonder"))
    with transaction.atomic():
        pairs = zip(Overrides._fields, _lock(job_type), wanted, strict=True)
        changes = {field: (was, now) for field, was, now in pairs if was != now}
        if not changes:
            return False
        TypeSettings.objects.update_or_create(
            pk=job_type, defaults={**wanted._asdict(), "actor": actor, "reason": reason, "since": timezone.now()}
        )
        link = page("jobs_type", job_type)
        audit.record(
            actor=actor,
            verb="set",
            target=f"job type {job_type}",
            reason=reason,
            link=link,
            changes=changes,
            undo=undo_of(job_type),
        )
        transaction.on_commit(partial(_publish_or_warn, keys.redis()))
    log.warning("type_settings.changed", job_type=job_type, actor=actor, reason=reason, **wanted._asdict())
    return True


def current() -> dict[str, Overrides]:
    """What is set, by type; one query."""
    found = {row.type: _overrides_of(row) for row in TypeSettings.objects.all()}
    return {name: own for name, own in found.items() if own != Overrides()}


def last_change(job_type: str) -> TypeSettings | None:
    """A type's values with who set them, when and why; None if nobody has."""
    return TypeSettings.objects.filter(pk=job_type).first()


def defaults(job_type: str) -> Overrides:
    """A type's values without what was set; it has no limit of concurrency. Raises InvalidJob."""
    declared = type_named(job_type)
    return Overrides(
        max_attempts=declared.max_attempts or settings.QUEUE_MAX_RETRIES,
        backoff_ms=round(settings.QUEUE_RETRY_BACKOFF.total_seconds() * 1000),
        timeout_s=round((declared.timeout or settings.JOB_TIMEOUT).total_seconds()),
    )


def sync(connection: Redis) -> None:
    """Apply the settings in this process, and publish them if the copy in Redis differs.

    Raises redis.RedisError and database errors.
    """
    redis_copy.sync(current, connection)


def refresh(connection: Redis) -> None:
    """Apply the copy in Redis in this process. Without one the last known settings stay.

    A process that has never known any then reads the database and publishes them: after a loss of Redis, a new worker
    must not fetch without limits. Raises redis.RedisError and database errors.
    """
    if not redis_copy.refresh(connection) and not overrides.are_known():
        sync(connection)


def undo_of(job_type: str) -> str:
    """What takes back that somebody set values of the type."""
    return f"{_KIND}/{job_type}"


def _is_as_left(job_type: str, changes: taking_back.Changes) -> bool:
    row = last_change(job_type)
    after = taking_back.fields_after(changes)
    return row is not None and bool(after) and _overrides_of(row)._replace(**after) == _overrides_of(row)


def _take_back(job_type: str, changes: taking_back.Changes, actor: str) -> None:
    wanted = _lock(job_type)._replace(**taking_back.fields_before(changes))
    set_overrides(job_type, wanted, actor=actor, reason=taking_back.UNDONE)


taking_back.add(_KIND, taking_back.Way("jobs.change_typesettings", _is_as_left, _take_back))


def _lock(job_type: str) -> Overrides:
    row = TypeSettings.objects.select_for_update().filter(pk=job_type).first()
    return _overrides_of(row) if row else Overrides()


def _overrides_of(row: TypeSettings) -> Overrides:
    return Overrides(row.max_attempts, row.backoff_ms, row.timeout_s, row.concurrency)


def _publish_or_warn(connection: Redis) -> None:
    try:
        sync(connection)
    except RedisError as error:
        log.warning("type_settings.not_published", error=str(error), next="the scheduler does when Redis is back")


def _check(field: str, value: int | None) -> None:
    least, most = RANGES[field]
    if field == "concurrency" and value == 0:
        raise InvalidSetting(field, gettext("0 would stop the type: pause it instead"))
    if value is not None and not least <= value <= most:
        text = gettext("must be a whole number from %(least)s to %(most)s, or empty for the default")
        raise InvalidSetting(field, text % {"least": format_number(least), "most": format_number(most)})
