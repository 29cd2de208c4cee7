"""A cache of effects and campaigns in Redis, for five minutes or until the listener receives a change.

What was fetched is kept only if nothing was dropped since the fetch began: the answer may be from before the change.
Each fetch and each drop takes the next number; a drop leaves its number with what it drops.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from redis import Redis, RedisError

from jobs import counters
from jobs.main_api.listing import Listing
from jobs.main_api.model import Campaign, Effect
from scheduler_project.text import as_json, is_id, plain

log = structlog.get_logger(__name__)
KEPT_S: Final = 300
EFFECT: Final = "scheduler:cache:effect:{}"
EFFECTS_OF: Final = "scheduler:cache:effects-of:{}"  # set: ids of the cached effects of one event or encounter
CAMPAIGNS: Final = "scheduler:cache:campaigns"
NUMBER: Final = "scheduler:cache:number"  # counts fetches and drops
DROPPED: Final = "scheduler:cache:dropped:{}"  # number of the last drop, by the key whose content was dropped
_NOTED_S: Final = 2 * KEPT_S  # longer than any fetch counts
#: KEYS: NUMBER, DROPPED, the value, and a set to which ARGV[4] is added. ARGV: the fetch's number, the value, seconds.
#: The counter is behind the fetch's number if Redis has lost its data, and the numbers of drops with it.
_KEEP: Final = """
local number = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or 0) < number then return 0 end
if tonumber(redis.call('GET', KEYS[2]) or 0) > number then return 0 end
redis.call('SET', KEYS[3], ARGV[2], 'EX', ARGV[3])
if KEYS[4] then
    redis.call('SADD', KEYS[4], ARGV[4])
    redis.call('EXPIRE', KEYS[4], ARGV[3])
end
return 1
"""
#: KEYS: NUMBER, DROPPED, what is dropped; if that is a set, so is the value of each member. ARGV: seconds, and the
#: beginning of those values' keys.
_DROP: Final = """
redis.call('SET', KEYS[2], redis.call('INCR', KEYS[1]), 'EX', ARGV[1])
if ARGV[2] then
    for _, id in ipairs(redis.call('SMEMBERS', KEYS[3])) do redis.call('DEL', ARGV[2] .. id) end
end
redis.call('DEL', KEYS[3])
"""


class _Fetch(NamedTuple):
    """One fetch: its number, and when it began."""

    number: int
    began: float


class Cache:
    """While Redis is down, every read is a miss."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._keep_script = connection.register_script(_KEEP)
        self._drop_script = connection.register_script(_DROP)

    def effect(self, effect_id: str, fetch: Callable[[], Effect | None]) -> Effect | None:
        """Return the effect from the cache or `fetch`; a missing effect is not cached."""
        cached: Effect | None = self._get(EFFECT.format(effect_id), Effect)
        if cached is not None:
            return cached
        begun = self._begin()
        effect = fetch()
        if effect is not None and effect.is_active and is_id(effect.id):  # a newly activated one counts at once
            entity_key = EFFECTS_OF.format(plain(effect.entity_id))
            self._keep(begun, effect, [entity_key, EFFECT.format(effect.id), entity_key], effect.id)
        return effect

    def campaigns(self, fetch: Callable[[], Listing[Campaign]], *, fresh: bool = False) -> Listing[Campaign]:
        """Return all campaigns whose ID can be stored. `fresh` skips the cache; a complete list is cached."""
        cached: list[Campaign] | None = None if fresh else self._get(CAMPAIGNS, list[Campaign])
        if cached is not None:
            return Listing(cached)
        begun = self._begin()
        found = fetch()
        campaigns = Listing((campaign for campaign in found if _is_usable(campaign)), found.unreadable)
        if not campaigns.unreadable:
            self._keep(begun, list(campaigns), [CAMPAIGNS, CAMPAIGNS])
        return campaigns

    def drop_effects_of(self, entity_id: str) -> None:
        """Drop the effects of an event or encounter."""
        self._drop(EFFECTS_OF.format(plain(entity_id)), EFFECT.format(""))

    def drop_campaigns(self) -> None:
        """Drop the list of campaigns."""
        self._drop(CAMPAIGNS)

    def _begin(self) -> _Fetch | None:
        number = self._try(lambda: self._connection.incr(NUMBER))
        return None if number is None else _Fetch(number, time.monotonic())

    def _keep(self, begun: _Fetch | None, found: Any, keys: Sequence[str], *member: str) -> None:
        """Keep what was fetched, unless the first of `keys` was dropped meanwhile."""
        if begun and time.monotonic() - begun.began < KEPT_S:
            guards = [NUMBER, DROPPED.format(keys[0])]
            told = [as_json(found), str(KEPT_S), *member]
            self._try(lambda: self._keep_script(keys=[*guards, *keys[1:]], args=[begun.number, *told]))

    def _drop(self, key: str, *beginning: str) -> None:
        guards = [NUMBER, DROPPED.format(key)]
        self._try(lambda: self._drop_script(keys=[*guards, key], args=[_NOTED_S, *beginning]))

    def _get(self, key: str, kind: Any) -> Any:
        text = self._try(lambda: self._connection.get(key))
        try:
            found = msgspec.json.decode(text, type=kind) if text else None
        except msgspec.DecodeError:  # cached by another release
            found = None
        if found is None:
            counters.add("cache_reads", "miss")
        else:
            counters.add("cache_reads", "hit")
        return found

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except RedisError as error:
            log.warning("cache.redis_unreachable", error=str(error), next="the main API is queried")
            return None


def _is_usable(campaign: Campaign) -> bool:
    """Whether the campaign's ID can be stored; if not, log it and leave out only this one."""
    usable = is_id(campaign.id)
    if not usable:
        counters.add("unusable_texts", "campaign")
        log.warning("main_api.id_rejected", campaign_id=repr(campaign.id)[:300], next="the campaign is left out")
    return usable
