"""Times of the main API in each notation, wherever one is read."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.main_api.answers import Answer, Reply, Request, read_reply
from jobs.main_api.listing import read_list, read_one
from jobs.main_api.messages import read_message
from jobs.main_api.model import Campaign, Event, Settlement, Structure
from jobs.world.clock import WorldTime
from tests.support.examples import examples

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TOWN = {"id": "s", "kingdomId": "k", "name": "S", "level": 1, "variables": {}, "version": 1}
RECORDS: Mapping[type[Any], dict[str, Any]] = {
    Campaign: {"id": "c", "name": "C", "isActive": True},
    Event: {"id": "e", "campaignId": "c", "name": "E", "eventType": "story", "isCompleted": False},
    Settlement: TOWN,
    Structure: {**TOWN, "settlementId": "s", "type": "temple"},
}
FIELDS: Mapping[str, tuple[type[Any], str, Callable[[Any], str]]] = {
    "campaign": (Campaign, "currentWorldTime", lambda c: c.current_world_time),
    "event scheduled": (Event, "scheduledAt", lambda e: e.scheduled_at),
    "event occurred": (Event, "occurredAt", lambda e: e.occurred_at),
    "settlement": (Settlement, "archivedAt", lambda s: s.archived_at),
    "structure": (Structure, "archivedAt", lambda s: s.archived_at),
}


def milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


NOTATIONS: Mapping[str, Callable[[datetime], object]] = {
    "Z": lambda m: m.strftime("%Y").zfill(4) + m.strftime("-%m-%dT%H:%M:%S.") + f"{m.microsecond // 1000:03d}Z",
    "no fraction": lambda m: m.isoformat().replace("+00:00", "Z"),  # where it has none
    "offset": lambda m: m.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
    "nanoseconds": lambda m: m.replace(tzinfo=None).isoformat(timespec="microseconds") + "000Z",
    "small z": lambda m: m.replace(tzinfo=None).isoformat() + "z",
    "text of milliseconds": lambda m: str(milliseconds(m)),
    "milliseconds": milliseconds,
    "milliseconds with a point": lambda m: float(milliseconds(m)),
}
MOMENTS = st.integers(-62_135_500_000_000, 253_402_200_000_000).map(lambda ms: EPOCH + timedelta(milliseconds=ms))


def answer_with(data: object) -> Answer:
    """As it comes over the wire."""
    return read_reply(Reply(200, json.dumps({"data": data}).encode()), Request.QUERY)


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("place", FIELDS)
@examples(20)
@given(moment=MOMENTS)
@example(moment=datetime(1372, 1, 16, 6, tzinfo=UTC))
@example(moment=EPOCH)
def test_a_time_of_an_object_is_read(place: str, notation: str, moment: datetime) -> None:
    """In a list and alone."""
    kind, field, value_of = FIELDS[place]
    record = {**RECORDS[kind], field: NOTATIONS[notation](moment)}

    alone: Any = read_one("one", "one", answer_with({"one": record}), kind)
    listed: Any = read_list("all", "all", answer_with({"all": [record]}), kind)

    assert [WorldTime.parse(value_of(one)).at for one in (alone, *listed)] == 2 * [moment]


@pytest.mark.parametrize("notation", NOTATIONS)
@examples(20)
@given(moment=MOMENTS)
def test_a_time_of_a_message_is_read(notation: str, moment: datetime) -> None:
    body = json.dumps({"campaignId": "c", "newTime": NOTATIONS[notation](moment)}).encode()

    found = read_message(b"campaign.c.worldTimeAdvanced", body).world_time

    assert found == WorldTime(moment)


@pytest.mark.parametrize("odd", [True, {"$date": 1}, [], [1]], ids=repr)
@pytest.mark.parametrize("place", FIELDS)
def test_an_invalid_time_rejects_its_item_only(place: str, odd: object) -> None:
    """Nothing is archived because of it; the error names the field."""
    kind, field, _ = FIELDS[place]
    good = RECORDS[kind]

    found: Any = read_list("all", "all", answer_with({"all": [{**good, "id": "odd", field: odd}, good]}), kind)

    assert [one.id for one in found] == [good["id"]]
    assert field in str(found.unreadable[0].error)
