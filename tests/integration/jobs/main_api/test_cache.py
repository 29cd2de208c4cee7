"""The cache of effects and campaigns: nothing that was fetched before a change outlives it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from redis import Redis

from jobs.main_api.cache import CAMPAIGNS, Cache
from jobs.main_api.listing import Listing
from jobs.main_api.model import Campaign, Effect
from tests.support.effects import EFFECT
from tests.support.servers import redis_away

CHANGED = replace(EFFECT, name="new")
CAMPAIGN = Campaign(id="campaign-1", name="C", is_active=True)
Read = Callable[[Cache, Callable[[], Any]], Any]
READS: list[tuple[Read, Any, Any, Callable[[Cache], None]]] = [
    (
        lambda cache, fetch: cache.effect("effect-1", fetch),
        EFFECT,
        CHANGED,
        lambda cache: cache.drop_effects_of("event-1"),
    ),
    (
        lambda cache, fetch: cache.campaigns(fetch),
        Listing([]),
        Listing([CAMPAIGN]),
        lambda cache: cache.drop_campaigns(),
    ),
]
BOTH = pytest.mark.parametrize(("read", "old", "new", "drop"), READS, ids=["effect", "campaigns"])


@BOTH
def test_what_is_fetched_while_it_is_dropped_is_not_kept(
    redis: Redis, read: Read, old: Any, new: Any, drop: Callable[[Cache], None]
) -> None:
    """A worker has its answer already when the listener drops: the next read fetches again, and that is kept."""
    answered, dropped = threading.Event(), threading.Event()
    found: list[Any] = []

    def fetch_slowly() -> Any:
        answered.set()
        assert dropped.wait(30)
        return old

    reader = threading.Thread(target=lambda: found.append(read(Cache(redis), fetch_slowly)))
    reader.start()
    assert answered.wait(30)
    drop(Cache(redis))
    dropped.set()
    reader.join(30)

    assert found == [old]
    assert read(Cache(redis), lambda: new) == new
    assert read(Cache(redis), lambda: old) == new


@BOTH
def test_what_is_fetched_while_redis_loses_its_data_is_not_kept(
    redis: Redis, read: Read, old: Any, new: Any, drop: Callable[[Cache], None]
) -> None:
    """The numbers begin anew: that of a drop is lower than that of a fetch from before."""
    for _ in range(5):
        drop(Cache(redis))

    def fetch() -> Any:
        redis.flushdb()
        drop(Cache(redis))
        return old

    read(Cache(redis), fetch)

    assert read(Cache(redis), lambda: new) == new


def test_the_change_of_another_event_leaves_what_is_fetched(redis: Redis) -> None:
    """So that effects are cached in a stream of messages, too."""
    cache = Cache(redis)

    def fetch() -> Effect:
        cache.drop_effects_of("event-2")
        return EFFECT

    cache.effect("effect-1", fetch)

    assert cache.effect("effect-1", lambda: CHANGED) == EFFECT


def test_a_fresh_list_from_before_a_drop_is_not_kept(redis: Redis) -> None:
    """As the listener reads it, past the cache."""
    cache = Cache(redis)

    def fetch() -> Listing[Campaign]:
        cache.drop_campaigns()
        return Listing([])

    cache.campaigns(fetch, fresh=True)

    assert redis.get(CAMPAIGNS) is None


def test_without_redis_all_is_fetched() -> None:
    """And nothing fails."""
    cache = Cache(redis_away())
    cache.drop_effects_of("event-1")
    cache.drop_campaigns()

    assert cache.effect("effect-1", lambda: EFFECT) == EFFECT
    assert cache.campaigns(lambda: Listing([CAMPAIGN])) == [CAMPAIGN]
