"""Our own Redis keys (not RQ's or rq-scheduler's), and this process's connection."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from redis import Redis
from rq_scheduler import Scheduler as RQScheduler

from scheduler_project.redis_connection import connect

SCHEDULED = RQScheduler.scheduled_jobs_key  #: sorted set: job id by due time, in seconds with fractions
TAKEN = "scheduler:taken"  #: sorted set: job ids fetched from a queue and not yet claimed, by time
STAGED_UNTIL = "scheduler:fed_until"  #: the due time up to which rows are in Redis; missing after a loss of Redis
SWEPT_UNTIL = "scheduler:swept_until"  #: up to when the sweep has looked for queued rows in Redis
LEASES_CHECKED_AT = "scheduler:judged_at"  #: when the active scheduler last looked for expired leases
WAKE = "scheduler:wake"  #: pub/sub: something is due earlier; ends the scheduler's sleep
QUEUED_CHANNEL = "scheduler:queued"  #: pub/sub: something was queued; ends an idle worker's sleep
SHARE = "scheduler:share:{}"  #: hash by queue: how many ids of each campaign are in RQ's own list
BACKLOGGED = "scheduler:backlogged:{}"  #: hash by queue: how long each campaign's backlog is
BACKLOG = "scheduler:backlog:{}:{}"  #: list by queue and campaign: ids beyond the campaign's share of the queue
PAUSED = "scheduler:paused"  #: hash: until when, by pause ("campaign:c-1"); always with the field "known"
PAUSED_VERSION = "scheduler:paused:version"  #: counts the writers of PAUSED
ASIDE = "scheduler:aside"  #: set: "queue|TYPE", ids that wait for their type's limit, kept as those of a queue are
RUNNING = "scheduler:running:{}"  #: sorted set by limited type: ids that run, by when that must have been renewed
TYPE_SETTINGS = "scheduler:type_settings"  #: string: what operators have set for job types, as JSON
PARKED = "scheduler:parked"  #: set: "queue:pause", each with a list of ids that wait for the pause to end
NEWER = "{}:newer:{}:{}"  #: in PARKED too: queue, type and payload version that wait for a worker of a newer release
PARKED_IDS = "scheduler:parked:{}"  #: that list
LEASE = "scheduler:lease:{}"  #: string: the owner token of the active scheduler or listener
PROCESSES = "scheduler:processes"  #: hash: each process's heartbeat, by "role:name"
LAST_SECOND: Final = 253_402_300_800  #: of the year 9999
_JOB_ID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
TIMEOUT_SECONDS: Final = 5  #: for an answer of Redis; some of them together must stay below LEASE_SECONDS
WRITTEN_BY_HEALTH = "scheduler:health"  #: string: whether Redis takes writes
STOP_ASKED = "scheduler:stop_asked"  #: set: "role:name" of those that an operator asked to stop


OPTIONS: Final[dict[str, Any]] = {
    "health_check_interval": 30,
    "socket_timeout": TIMEOUT_SECONDS,
    "socket_connect_timeout": 5,
}


@cache
def redis() -> Redis:
    """The connection pool of this process (thread-safe)."""
    return connect(settings.REDIS_URL, **OPTIONS)


def own_redis() -> Redis:
    """A client with a single connection, for one thread: a pool would take a third of a call's time."""
    return connect(settings.REDIS_URL, single_connection=True, **OPTIONS)


def texts(ids: Any) -> list[str]:
    """Redis ids as text, without those that are not UTF-8."""
    found: Iterable[bytes] = ids
    return [text for i in found if (text := _text(i)) is not None]


def odd(ids: Any) -> list[bytes]:
    """The ids that `texts` leaves out."""
    found: Iterable[bytes] = ids
    return [i for i in found if _text(i) is None]


def uuid_of(text: str) -> UUID | None:
    """The id of one of our jobs, as we write it into Redis; None for any other text."""
    return UUID(text) if is_our_id(text) else None


def is_our_id(text: str) -> bool:
    """Whether `uuid_of` has one, at a tenth of its cost.

    >>> is_our_id("0190f1c2-0000-7000-8000-000000000000"), is_our_id("0190F1C2-0000-7000-8000-000000000000")
    (True, False)
    """
    return bool(_JOB_ID(text))


def number(value: bytes | float | None) -> float | None:
    """A finite number; None for anything else."""
    try:
        found = float(b"-" if value is None else value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def moment(value: bytes | None) -> datetime | None:
    """A time from seconds since the epoch; None for anything else."""
    seconds = number(value)
    return datetime.fromtimestamp(seconds, tz=UTC) if seconds is not None and 0 <= seconds < LAST_SECOND else None


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
