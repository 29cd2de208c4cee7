"""Delete our own and RQ's keys that have the wrong type, because every command on them fails.

The stager (jobs/engine/scheduler/stager.py) rebuilds their content from the database, as after a loss of Redis.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError

from jobs import counters, overrides
from jobs.broker import keys
from jobs.main_api import breaker, budget, limits, recent_calls, traffic
from jobs.states import Priority

log = structlog.get_logger(__name__)
OF_QUEUE: Final = {
    "rq:queue:{}": "list",
    "rq:workers:{}": "set",
    "rq:finished:{}": "zset",
    "rq:failed:{}": "zset",
    "rq:wip:{}": "zset",
    "rq:deferred:{}": "zset",
    "rq:scheduled:{}": "zset",
    "rq:ready:{}": "zset",
    "rq:canceled:{}": "zset",
    "scheduler:share:{}": "hash",
    keys.BACKLOGGED: "hash",
}
TYPES: Final = {
    "rq:queues": "set",
    "rq:workers": "set",
    "rq:suspended": "string",
    "rq:cron_schedulers": "zset",
    keys.SCHEDULED: "zset",
    keys.TAKEN: "zset",
    keys.STAGED_UNTIL: "string",
    keys.SWEPT_UNTIL: "string",
    keys.LEASES_CHECKED_AT: "string",
    keys.PAUSED: "hash",
    keys.PAUSED_VERSION: "string",
    keys.PARKED: "set",
    keys.TYPE_SETTINGS: "string",
    keys.ASIDE: "set",
    keys.PROCESSES: "hash",
    keys.STOP_ASKED: "set",
    counters.KEY: "hash",
    breaker.STATE_KEY: "string",
    breaker.FORCED_KEY: "string",
    recent_calls.ERRORS_KEY: "list",
    breaker.PROBE_KEY: "string",
    limits.KEY: "hash",
    budget.IN_FLIGHT: "zset",
    budget.GRANTED: "list",
    budget.PROCESSES: "zset",
    budget.TURNS: "list",
    budget.WAITING.format(budget.URGENT): "list",
    budget.HELD_UNTIL: "string",
    traffic.WINDOWS: "hash",
    keys.LEASE.format("scheduler"): "string",
    keys.LEASE.format("listener"): "string",
}
#: Hashes of whole numbers, which scripts calculate with.
_NUMBERS: Final = ("scheduler:share:{}", keys.BACKLOGGED)
#: What a type that waits for its limit has of its own, as a queue has (lua/fair_share.lua).
OF_LIST_ASIDE: Final = {key: OF_QUEUE[key] for key in ("rq:queue:{}", *_NUMBERS)}


def mend(connection: Redis, *, thorough: bool = False) -> list[str]:
    """Delete keys of a wrong type and fields that are not numbers where a script calculates; return the keys.

    `thorough` includes the campaigns' backlogs.

    Raises redis.RedisError.
    """
    expected = TYPES | {key.format(queue): kind for key, kind in OF_QUEUE.items() for queue in settings.RQ_QUEUES}
    expected |= {keys.RUNNING.format(name): "zset" for name in overrides.concurrency()}
    wrong = _drop_wrong_types(expected, connection)
    aside = _find_aside(connection, wrong)
    wrong += _drop_wrong_types({k.format(name): t for k, t in OF_LIST_ASIDE.items() for name in aside}, connection)
    version: Any = connection.get(keys.PAUSED_VERSION)
    if not _is_whole(b"0" if version is None else version):
        connection.delete(keys.PAUSED_VERSION)
        wrong.append(keys.PAUSED_VERSION)
    for name in (*(priority.queue for priority in Priority), *aside):
        for key in _NUMBERS:
            wrong += _drop_odd(key.format(name), connection)
    wrong += _drop_odd(keys.PAUSED, connection)
    wrong += _drop_odd_places(connection, backlogs_of=(*settings.RQ_QUEUES, *aside) if thorough else ())
    if wrong:
        log.error("redis.repaired", keys=wrong, cause="wrong type or content", next="read from the database")
    return wrong


def mends(error: Exception, connection: Redis) -> bool:
    """Whether such a key caused the error, and was deleted. Raises redis.RedisError."""
    return isinstance(error, ResponseError) and bool(mend(connection, thorough=True))


def _drop_wrong_types(expected: Mapping[str, str], connection: Redis) -> list[str]:
    """Delete the keys that have another type than expected; return them."""
    with connection.pipeline(transaction=False) as pipeline:
        for key in expected:
            pipeline.type(key)
        kinds = [kind.decode() for kind in pipeline.execute()]
    wrong = [key for key, kind in zip(expected, kinds, strict=True) if kind not in ("none", expected[key])]
    if wrong:
        connection.delete(*wrong)
    return wrong


def _find_aside(connection: Redis, wrong: list[str]) -> list[str]:
    """The lists of types that wait for their limits. Names that are none leave the set, which is added to `wrong`."""
    found: Any = connection.smembers(keys.ASIDE)
    odd = [n for n in found if not keys.texts([n]) or n.partition(b"|")[0].decode() not in settings.RQ_QUEUES]
    if odd:
        connection.srem(keys.ASIDE, *odd)
        wrong.append(keys.ASIDE)
    return keys.texts(set(found) - set(odd))


def _drop_odd(key: str, connection: Redis) -> list[str]:
    found: Any = connection.hgetall(key)
    fits = _is_moment if key == keys.PAUSED else _is_whole
    odd = [field for field, value in found.items() if not (fits(value) and keys.texts([field]))]
    if odd:
        connection.hdel(key, *odd)
    return [key] if odd else []


def _drop_odd_places(connection: Redis, *, backlogs_of: Iterable[str]) -> list[str]:
    """Delete places without queue and pause, and lists of waiting ids that have another type."""
    places: Any = connection.smembers(keys.PARKED)
    odd = [p for p in places if not keys.texts([p]) or len(p.split(b":", 2)) < 3]
    if odd:
        connection.srem(keys.PARKED, *odd)
    lists = [keys.PARKED_IDS.format(place) for place in keys.texts(set(places) - set(odd))]
    for queue in backlogs_of:
        campaigns: Any = connection.hkeys(keys.BACKLOGGED.format(queue))
        lists += [keys.BACKLOG.format(queue, campaign) for campaign in keys.texts(campaigns)]
    wrong = _drop_wrong_types(dict.fromkeys(lists, "list"), connection)
    return [*wrong, *([keys.PARKED] if odd else [])]


def _is_moment(value: bytes) -> bool:
    return value == b"" or keys.number(value) is not None


def _is_whole(value: bytes) -> bool:
    return value.removeprefix(b"-").isdigit() and len(value) < 19
