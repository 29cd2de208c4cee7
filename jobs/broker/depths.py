"""How many jobs wait in each queue, with and without what pauses hold back. Every page and metric reads it here.

A queue's ids are in four places: RQ's own list, each busy campaign's backlog behind it, the same for each type that
waits for its limit, and the lists where workers park what a pause holds back or only a newer release can read
(lua/fair_share.lua). A job is moved there when a worker first meets it, so `held_back`, `newer` and `limited` are
complete only once workers have looked.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from redis import Redis

from jobs.broker import keys
from jobs.models import Job
from jobs.states import Priority

QUEUES: Final = tuple(priority.queue for priority in reversed(Priority))  #: the most urgent first


class Depth(NamedTuple):
    """The ids in one queue; `held_back`, `newer`, `limited` and `backlog` are part of `waiting`."""

    waiting: int
    held_back: int  #: by pauses that have not ended
    newer: int  #: set aside for workers of a newer release
    limited: int  #: waiting for the limit of their type
    backlog: int  #: of campaigns that have their share of the queue's list
    head: UUID | None  #: the next scheduler job; None where RQ's list is empty or starts with a foreign job
    parked: tuple[UUID, ...]  #: the first job of each list of ids that are parked, or wait for their type's limit


def read(connection: Redis, queues: Sequence[str] = QUEUES) -> dict[str, Depth]:
    """The depth of each queue, in two round trips. Raises redis.RedisError."""
    with connection.pipeline(transaction=False) as pipeline:
        pipeline.hgetall(keys.PAUSED)
        pipeline.smembers(keys.PARKED)
        pipeline.smembers(keys.ASIDE)
        for queue in queues:
            pipeline.llen(_list(queue))
            pipeline.lindex(_list(queue), 0)
            pipeline.hgetall(keys.BACKLOGGED.format(queue))
        pauses, places, names, *answers = pipeline.execute()
    active = _active(pauses)
    parked = {queue: _places_of(queue, places) for queue in queues}
    limited = {queue: _names_of(queue, names) for queue in queues}
    with connection.pipeline(transaction=False) as pipeline:
        for place in (place for of_queue in parked.values() for place in of_queue):
            pipeline.llen(keys.PARKED_IDS.format(place))
            pipeline.lindex(keys.PARKED_IDS.format(place), 0)
        for name in (name for of_queue in limited.values() for name in of_queue):
            pipeline.llen(_list(name))
            pipeline.lindex(_list(name), 0)
            pipeline.hvals(keys.BACKLOGGED.format(name))
        aside = iter(pipeline.execute())
    lists = {
        queue: {place.partition(":")[2]: (int(next(aside)), next(aside)) for place in parked[queue]} for queue in queues
    }
    limits = {queue: [(int(next(aside)), next(aside), next(aside)) for _ in limited[queue]] for queue in queues}
    found = {}
    for position, queue in enumerate(queues):
        listed, head, sizes = answers[3 * position : 3 * position + 3]
        found[queue] = _sum_up(queue, (listed, head, sizes), lists[queue], limits[queue], active)
    return found


def _sum_up(
    queue: str,
    own: tuple[int, bytes | None, Mapping[bytes, bytes]],
    parked: Mapping[str, tuple[int, bytes | None]],
    limits: Sequence[tuple[int, bytes | None, Sequence[bytes]]],
    active: set[str],
) -> Depth:
    """From the length and head of each list, and the sizes of the backlogs behind it."""
    listed, head, sizes = own
    backlogs = {campaign: _whole(size) for campaign, size in sizes.items()}
    limited = sum(length + sum(map(_whole, behind)) for length, _, behind in limits)
    waiting = listed + sum(backlogs.values()) + sum(size for size, _ in parked.values()) + limited
    held_back = sum(size for pause, (size, _) in parked.items() if pause in active) + sum(
        size for campaign, size in backlogs.items() if f"campaign:{campaign.decode(errors='replace')}" in active
    )
    return Depth(
        waiting=waiting,
        held_back=waiting if f"queue:{queue}" in active else held_back,
        newer=sum(size for pause, (size, _) in parked.items() if pause.startswith("newer:")),
        limited=limited,
        backlog=sum(backlogs.values()),
        head=next(iter(_ids([head])), None),
        parked=tuple(_ids([*(first for _, first in parked.values()), *(first for _, first, _ in limits)])),
    )


def held_back_by(kind: str, name: str, connection: Redis) -> int:
    """How many ids one pause holds back: a whole queue, or a type's or campaign's. Raises redis.RedisError."""
    if kind == "queue":
        return read(connection, [name])[name].waiting
    with connection.pipeline(transaction=False) as pipeline:
        for queue in QUEUES:
            pipeline.llen(keys.PARKED_IDS.format(f"{queue}:{kind}:{name}"))
            if kind == "campaign":
                pipeline.llen(keys.BACKLOG.format(queue, name))
        return sum(pipeline.execute())


def of_campaigns(campaigns: Sequence[str], connection: Redis) -> dict[str, int]:
    """How many ids of each campaign wait in all queues, except those parked for the pause of a type.

    Raises redis.RedisError.
    """
    if not campaigns:
        return {}
    with connection.pipeline(transaction=False) as pipeline:
        for queue in QUEUES:
            pipeline.hmget(keys.SHARE.format(queue), campaigns)
            pipeline.hmget(keys.BACKLOGGED.format(queue), campaigns)
            for campaign in campaigns:
                pipeline.llen(keys.PARKED_IDS.format(f"{queue}:campaign:{campaign}"))
        answers = iter(pipeline.execute())
    found = dict.fromkeys(campaigns, 0)
    for _ in QUEUES:
        listed, backlogs = next(answers), next(answers)
        for campaign, shared, behind in zip(campaigns, listed, backlogs, strict=True):
            found[campaign] += _whole(shared or b"0") + _whole(behind or b"0") + int(next(answers))
    return found


def awaits_newer_release(job: Job, connection: Redis) -> bool:
    """Whether workers have set jobs of this type and payload version aside. Raises redis.RedisError."""
    place = keys.NEWER.format(Priority(job.priority).queue, job.type, job.payload_version)
    return bool(connection.exists(keys.PARKED_IDS.format(place)))


def extra_lists(queue: str, connection: Redis) -> dict[str, int]:
    """The lists behind RQ's own, in the order in which pages show them, with their lengths. Raises redis.RedisError."""
    sizes: Any = connection.hgetall(keys.BACKLOGGED.format(queue))
    places: Any = connection.smembers(keys.PARKED)
    backlogs = _backlogs(queue, sizes)
    parked = [keys.PARKED_IDS.format(place) for place in _places_of(queue, places)]
    for name in _names_of(queue, connection.smembers(keys.ASIDE)):
        parked.append(_list(name))
        backlogs |= _backlogs(name, connection.hgetall(keys.BACKLOGGED.format(name)))
    with connection.pipeline(transaction=False) as pipeline:
        for key in parked:
            pipeline.llen(key)
        return backlogs | dict(zip(parked, pipeline.execute(), strict=True))


def due_times(depths: Iterable[Depth]) -> dict[UUID, datetime]:
    """When the first jobs of these queues are due; one query."""
    firsts = {pk for depth in depths for pk in (depth.head, *depth.parked) if pk}
    return dict(Job.objects.filter(id__in=firsts).values_list("id", "due_at")) if firsts else {}


def _list(queue: str) -> str:
    return f"rq:queue:{queue}"


def _active(pauses: Mapping[bytes, bytes]) -> set[str]:
    """The pauses that have not ended, as workers read them (lua/fetch.lua)."""
    now = time.time()
    ends = {key: keys.number(until) for key, until in pauses.items() if until}
    return set(keys.texts(key for key, until in pauses.items() if not until or (ends[key] or 0) > now))


def _places_of(queue: str, places: Iterable[bytes]) -> list[str]:
    return sorted(place for place in keys.texts(places) if place.startswith(f"{queue}:"))


def _names_of(queue: str, names: Any) -> list[str]:
    """The lists of this queue's types that wait for their limits."""
    return sorted(name for name in keys.texts(names) if name.startswith(f"{queue}|"))


def _backlogs(name: str, sizes: Any) -> dict[str, int]:
    return {keys.BACKLOG.format(name, c): _whole(sizes[c.encode()]) for c in sorted(keys.texts(sizes))}


def _whole(value: bytes) -> int:
    return max(0, int(keys.number(value) or 0))


def _ids(heads: Iterable[bytes | None]) -> list[UUID]:
    return [pk for text in keys.texts(head for head in heads if head) if (pk := keys.uuid_of(text))]
