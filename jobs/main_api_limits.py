"""The public interface of the main API's limits: requests in flight and per second, for all processes together.

The database holds them; every process reads a copy in Redis, at most a second old.
"""

from functools import partial
from typing import Final

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext
from redis import Redis, RedisError

from jobs import audit, taking_back
from jobs.broker import keys
from jobs.errors import InvalidLimit
from jobs.main_api import limits as redis_copy
from jobs.main_api.limits import Limits
from jobs.models import MainApiLimits
from scheduler_project.links import page
from scheduler_project.numbers import format_number
from scheduler_project.text import line

log = structlog.get_logger(__name__)
MOST: Final = 100_000
_ONLY: Final = "all"
UNDO: Final = "limits/all"  #: of an operator action
_LONGEST_REASON: Final = 500


def set_limits(limits: Limits, *, actor: str, reason: str = "") -> bool:
    """Set both limits, for all processes and at once. Returns whether anything changed.

    Raises InvalidLimit, naming the field.
    """
    for field, value in limits._asdict().items():
        _check(field, value)
    reason = line(reason, _LONGEST_REASON)
    with transaction.atomic():
        pairs = zip(Limits._fields, _lock(), limits, strict=True)
        changes = {field: (was, now) for field, was, now in pairs if was != now}
        if not changes:
            return False
        MainApiLimits.objects.update_or_create(
            name=_ONLY, defaults={**limits._asdict(), "actor": actor, "reason": reason, "since": timezone.now()}
        )
        link = page("jobs_main_api_limits")
        audit.record(
            actor=actor, verb="limited", target="main API", reason=reason, link=link, changes=changes, undo=UNDO
        )
        transaction.on_commit(partial(_publish_or_warn, keys.redis()))
    log.warning("main_api.limits_set", actor=actor, reason=reason, **limits._asdict())
    return True


def current() -> Limits:
    return _limits_of(last_change())


def last_change() -> MainApiLimits | None:
    """The limits with who set them, when and why; None if nobody has."""
    return MainApiLimits.objects.filter(name=_ONLY).first()


def sync(connection: Redis) -> None:
    """Publish the limits if the copy in Redis differs. Raises redis.RedisError and database errors."""
    redis_copy.sync(current, connection)


def _is_as_left(_key: str, changes: taking_back.Changes) -> bool:
    after = taking_back.fields_after(changes)
    return bool(after) and current()._replace(**after) == current()


def _take_back(_key: str, changes: taking_back.Changes, actor: str) -> None:
    set_limits(_lock()._replace(**taking_back.fields_before(changes)), actor=actor)


taking_back.add("limits", taking_back.Way("jobs.control_breaker", _is_as_left, _take_back))


def _lock() -> Limits:
    return _limits_of(MainApiLimits.objects.select_for_update().filter(name=_ONLY).first())


def _limits_of(row: MainApiLimits | None) -> Limits:
    return Limits(row.in_flight, row.per_second) if row else Limits()


def _publish_or_warn(connection: Redis) -> None:
    try:
        sync(connection)
    except RedisError as error:
        log.warning("main_api.limits_not_published", error=str(error), next="the scheduler does when Redis is back")


def _check(field: str, value: int | None) -> None:
    if value == 0:
        raise InvalidLimit(field, gettext("0 would stop everything: pause queues, or force the breaker open, instead"))
    if value is not None and not 1 <= value <= MOST:
        text = gettext("must be a whole number from 1 to %(most)s, or empty for no limit")
        raise InvalidLimit(field, text % {"most": format_number(MOST)})
