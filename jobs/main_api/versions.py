"""The versions that settlements and structures have at least, because we wrote them or heard of them.

Lists may come out of a cache of the main API. What a list shows older than this is read individually.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from redis import Redis, RedisError

from jobs.errors import JobError
from jobs.main_api.listing import Listing, Unreadable
from jobs.main_api.updates import E
from scheduler_project.text import is_id

log = structlog.get_logger(__name__)
KEPT_S: Final = 900  #: longer than the main API keeps a list, which is 10 minutes
KEY: Final = "scheduler:version:{}"
_MOST_DIGITS: Final = 20
_NO_VERSION: Final = 10 ** (_MOST_DIGITS - 1)  #: has that many digits
#: KEYS: of entities. ARGV: seconds, then the version of each. A lower version than is known says nothing: messages may
#: come in any order, and after our own writes.
_NOTE: Final = """
for i, key in ipairs(KEYS) do
    local known = tonumber(redis.call('GET', key) or 0) or 0
    if known <= tonumber(ARGV[i + 1]) then redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1]) end
end
"""
_BATCH: Final = 1000  #: keys per command


class Versions:
    """Shared by all processes. While Redis is away, lists count as they are."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._note = connection.register_script(_NOTE)

    def note(self, versions: Mapping[str, int]) -> None:
        """Entities have at least these versions by now."""
        known = {KEY.format(one): version for one, version in versions.items() if is_id(one) and version < _NO_VERSION}
        if not known:
            return
        try:
            self._note(keys=list(known), args=[KEPT_S, *known.values()])
        except RedisError as error:
            log.warning("versions.redis_unreachable", error=str(error), next="lists may show older versions")

    def find_outdated(self, entities: Sequence[E]) -> list[str]:
        """The entities that have a later version than this."""
        listed = [entity for entity in entities if is_id(entity.id)]
        try:
            known: list[Any] = []
            for start in range(0, len(listed), _BATCH):
                keys = [KEY.format(entity.id) for entity in listed[start : start + _BATCH]]
                known += self._connection.mget(keys)
        except RedisError as error:
            log.warning("versions.redis_unreachable", error=str(error), next="lists may show older versions")
            return []
        return [e.id for e, version in zip(listed, known, strict=True) if e.version < _number(version)]


def _number(stored: bytes | None) -> int:
    """
    >>> _number(b"7"), _number(None), _number(b"odd")
    (7, 0, 0)
    """
    return int(stored) if stored and stored.isdigit() and len(stored) < _MOST_DIGITS else 0


def bring_up_to_date(listed: Listing[E], fresh: Mapping[str, E | JobError | None]) -> Listing[E]:
    """The list with the entities that were read individually; without those that are gone."""
    found = Listing[E]((), listed.unreadable)
    for entity in listed:
        now = fresh.get(entity.id, entity)
        if isinstance(now, JobError):
            found.unreadable.append(Unreadable(entity.id, now))
        elif now is not None:
            found.append(now)
    return found
