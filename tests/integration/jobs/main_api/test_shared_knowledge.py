"""What processes tell each other about the main API in Redis: versions, and when messages were heard."""

import pytest
from msgspec.structs import replace
from redis import Redis

from jobs.errors import PermanentError
from jobs.main_api import heard, versions
from jobs.main_api.client import MainApi
from jobs.main_api.listing import Listing
from jobs.main_api.versions import Versions, bring_up_to_date
from tests.support.servers import redis_away


@pytest.fixture
def away() -> Redis:
    """A Redis that nobody serves."""
    return redis_away()


def test_a_version_that_was_written_makes_an_older_list_outdated(api: MainApi, redis: Redis) -> None:
    """Whoever wrote it. A version that is no number says nothing."""
    listed = list(api.settlements(["settlement-1-1-1", "settlement-1-1-2", "settlement-1-1-3"]).values())
    first, second, third = (one for one in listed if one and not isinstance(one, Exception))
    Versions(redis).note({first.id: first.version + 1, second.id: second.version, "no ID\0": 7})
    redis.set(versions.KEY.format(third.id), "odd")

    assert Versions(redis).find_outdated([first, second, third]) == [first.id]


def test_a_lower_version_that_is_heard_later_changes_nothing(redis: Redis) -> None:
    """Messages may come late, after what we wrote ourselves; a version that is absurdly high is none."""
    known = Versions(redis)
    for version in (7, 6, 10**30):
        known.note({"s-1": version})

    assert redis.get(versions.KEY.format("s-1")) == b"7"


def test_a_list_has_the_entities_as_they_were_read(api: MainApi) -> None:
    """Without what is gone; what cannot be read is named, and the rest stays as it was listed."""
    found = list(api.settlements([f"settlement-1-1-{n}" for n in (1, 2, 3)]).values())
    first, second, third = (one for one in found if one and not isinstance(one, Exception))
    newer, error = replace(first, version=first.version + 1), PermanentError("it cannot be read")

    up_to_date = bring_up_to_date(Listing([first, second]), {first.id: newer, second.id: None})
    unread = bring_up_to_date(Listing([first, third]), {first.id: error})

    assert list(up_to_date) == [newer]
    assert list(unread) == [third]
    assert [(one.id, one.error) for one in unread.unreadable] == [(first.id, error)]


def test_each_family_of_messages_is_noted_once_a_minute(redis: Redis) -> None:
    """And read by every process; a clock that was set back notes again."""
    now = [1000.0]
    notes = heard.Notes(redis, clock=lambda: now[0])
    notes.note(b"campaign.c-1.worldTimeAdvanced")
    now[0] += 59
    notes.note(b"campaign.c-2.worldTimeAdvanced")
    notes.note(b"campaign.c-1.entityModified")
    assert heard.read(redis) == heard.Heard(1000, 1059, 0)

    for now[0], channel in ((1060.0, b"campaign.c-1.worldTimeAdvanced"), (500.0, b"campaign.c-1.entityModified")):
        notes.note(channel)
    notes.note(b"entity.modified.Settlement")

    assert heard.read(redis) == heard.Heard(1060, 500, 500)


def test_without_redis_nothing_is_known_and_nothing_fails(api: MainApi, away: Redis) -> None:
    """Lists count as they are, and nothing is judged by messages."""
    (listed,) = api.settlements(["settlement-1-1-1"]).values()
    assert listed
    assert not isinstance(listed, Exception)
    knowledge, notes = Versions(away), heard.Notes(away)

    knowledge.note({listed.id: listed.version + 1})
    notes.note(b"campaign.c-1.worldTimeAdvanced")

    assert knowledge.find_outdated([listed]) == []
    assert heard.read(away) is None


def test_odd_notes_are_no_notes(redis: Redis) -> None:
    redis.hset(heard.KEY, heard.WORLD_TIME, "yesterday")

    assert heard.read(redis) is None
