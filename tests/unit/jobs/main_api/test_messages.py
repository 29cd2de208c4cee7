"""The main API's messages, whichever family of channels they come from."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.main_api.messages import Malformed, Message, account_of, read_message
from jobs.world.clock import WorldTime
from tests.support.examples import examples

ADVANCED = b"campaign.c-1.worldTimeAdvanced"
NEW = WorldTime.parse("1372-01-16T06:00:00Z")
VALUES = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists)


def read(channel: bytes, body: Any) -> Message:
    return read_message(channel, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize("time", ["1372-01-16T06:00:00Z", "1372-01-16T08:00+02:00", "-18869738400000", -18869738400000])
def test_world_time_in_any_form(time: object) -> None:
    """ISO 8601 or milliseconds since 1970."""
    assert read(ADVANCED, {"newTime": time}) == Message("worldTimeAdvanced", "c-1", NEW)


def test_a_change_of_an_entity_by_campaign_and_by_entity() -> None:
    """The second names the entity in small letters, who changed it, and no campaign."""
    body = {"entityType": "Settlement", "entityId": "s-1", "operation": "UPDATE"}
    by_campaign = read(b"campaign.c.1.entityModified", body)
    changed = {"entityType": "settlement", "entityId": "s-1", "version": 4, "modifiedBy": "u-1", "modifiedAt": "1"}
    by_entity = read(b"entity.modified.s-1", {"entityModified": changed})

    assert by_campaign == Message("entityModified", "c.1", None, "Settlement", "s-1", "UPDATE")
    assert by_entity == Message("entityModified", "", None, "Settlement", "s-1", "UPDATE", "u-1", 4)


@pytest.mark.parametrize(
    ("channel", "body", "field"),
    [
        (ADVANCED, b"[" * 200_000, "body"),
        (ADVANCED, b"{" + b"x" * 1_000_000, "body"),
        (ADVANCED, {"newTime": "soon"}, "newTime"),
        (ADVANCED, {"newTime": True}, "newTime"),
        (ADVANCED, {}, "newTime"),
        (b"campaign..worldTimeAdvanced", {"newTime": 1}, "channel"),
        (b"campaign.\xff.entityModified", {}, "channel"),
        (b"entity.modified.s-1", {}, "entityModified"),
        (b"entity.modified.s-1", {"entityModified": ["s-1"]}, "entityModified"),
        (b"entity.modified.s-1", {"entityModified": {"entityId": "s-2"}}, "entityId"),
        (b"entity.modified.", {"entityModified": {"entityId": ""}}, "entityId"),
    ],
)
def test_a_malformed_message_names_its_field(channel: bytes, body: Any, field: str) -> None:
    with pytest.raises(Malformed, match=f"^{field}:"):
        read(channel, body)


@examples(100)
@given(
    channel=st.sampled_from([ADVANCED, b"campaign.c.entityModified", b"entity.modified.s"]) | st.binary(),
    body=st.binary() | VALUES.map(lambda v: json.dumps({"newTime": v, "entityModified": v, "entityId": v}).encode()),
)
def test_any_message_is_read_or_rejected(channel: bytes, body: bytes) -> None:
    """No other exception is raised."""
    with suppress(Malformed):
        assert read_message(channel, body).kind in ("worldTimeAdvanced", "entityModified")


def _jwt(claims: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize(
    ("token", "account"),
    [
        (_jwt(b'{"sub": "account"}'), "account"),
        (_jwt(b'{"sub": 7}'), ""),
        (_jwt(b"[]"), ""),
        (_jwt(b"no"), ""),
        ("a.b.c", ""),
        ("camp_sk_of_tests", ""),
        ("", ""),
    ],
)
def test_the_account_of_a_token(token: str, account: str) -> None:
    """A key has none, and neither has a broken token."""
    assert account_of(token) == account
