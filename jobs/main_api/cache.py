"""A cache of effects and campaigns in Redis, for five minutes or until the listener receives a change."""

from collections.abc import Callable
from typing import Any, Final

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


class Cache:
    """While Redis is down, every read is a miss."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def effect(self, effect_id: str, fetch: Callable[[], Effect | None]) -> Effect | None:
        """Return the effect from the cache or `fetch`; a missing effect is not cached."""
        cached: Effect | None = self._get(EFFECT.format(effect_id), Effect)
        if cached is not None:
            return cached
        effect = fetch()
        if effect is not None and effect.is_active and is_id(effect.id):  # a newly activated one counts at once
            self._try(lambda: self._keep_effect(effect))
        return effect

    def campaigns(self, fetch: Callable[[], Listing[Campaign]], *, fresh: bool = False) -> Listing[Campaign]:
        """Return all campaigns whose ID can be stored. `fresh` skips the cache; a complete list is cached."""
        cached: list[Campaign] | None = None if fresh else self._get(CAMPAIGNS, list[Campaign])
        if cached is not None:
            return Listing(cached)
        found = fetch()
        campaigns = Listing((campaign for campaign in found if _is_usable(campaign)), found.unreadable)
        if not campaigns.unreadable:
            self._try(lambda: self._connection.set(CAMPAIGNS, as_json(list(campaigns)), ex=KEPT_S))
        return campaigns

    def drop_effects_of(self, entity_id: str) -> None:
        """Drop the effects of an event or encounter."""

        def drop() -> None:
            key = EFFECTS_OF.format(plain(entity_id))
            ids: list[Any] = [i.decode() for i in self._members(key)]
            self._connection.delete(key, *(EFFECT.format(i) for i in ids))

        self._try(drop)

    def drop_campaigns(self) -> None:
        """Drop the list of campaigns."""
        self._try(lambda: self._connection.delete(CAMPAIGNS))

    def _members(self, key: str) -> Any:
        return self._connection.smembers(key)

    def _keep_effect(self, effect: Effect) -> None:
        with self._connection.pipeline() as pipeline:
            entity_key = EFFECTS_OF.format(plain(effect.entity_id))
            pipeline.set(EFFECT.format(effect.id), as_json(effect), ex=KEPT_S)
            pipeline.sadd(entity_key, effect.id)
            pipeline.expire(entity_key, KEPT_S)
            pipeline.execute()

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
