"""Messages of the main API that are lost, doubled, old or malformed."""

import json
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any, Final

from redis import RedisError

from sandbox.contract import parse, stamp
from tests.chaos.faults.fault import Fault
from tests.chaos.world import World

CAMPAIGN: Final = "campaign-1"
#: Channel and data of messages that are none.
MALFORMED: Final[list[tuple[bytes, bytes]]] = [
    (b"campaign.campaign-1.worldTimeAdvanced", b""),
    (b"campaign.campaign-1.worldTimeAdvanced", b"[" * 100_000),
    (b"campaign.campaign-1.worldTimeAdvanced", b'{"newTime": "soon"}'),
    (b"campaign.campaign-1.worldTimeAdvanced", b'{"newTime": "9999-12-31T23:59:59+14:00"}'),
    (b"campaign.campaign-1.worldTimeAdvanced", b'{"newTime": 7}'),
    (b"campaign.campaign-1.worldTimeAdvanced", b"\xff\xfe"),
    (b"campaign.\xff.worldTimeAdvanced", b'{"newTime": "1001-01-01T00:00:00Z"}'),
    (b"campaign..worldTimeAdvanced", b'{"newTime": "1001-01-01T00:00:00Z"}'),
    (b"campaign." + b"x" * 300 + b".worldTimeAdvanced", b'{"newTime": "1001-01-01T00:00:00Z"}'),
    (b"campaign.campaign-1.entityModified", b'{"entityType": "Settlement", "entityId": "\\ud83c", "operation": 1}'),
    (b"campaign.campaign-1.entityModified", b'{"entityType": ["Settlement"]}'),
    (b"campaign.campaign-1.entityModified", b'{"entityType": "Event", "entityId": "' + b"y" * 2_000_000 + b'"}'),
]


def _advance(world: World, random: Random) -> dict[str, Any]:
    before = world.sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"]
    after = stamp(parse(before) + timedelta(minutes=random.randint(10, 90)))
    return {"campaignId": CAMPAIGN, "previousTime": before, "newTime": after}


def _publish(world: World, body: dict[str, Any]) -> None:
    _send(world, f"campaign.{CAMPAIGN}.worldTimeAdvanced".encode(), json.dumps(body).encode())


def _send(world: World, channel: bytes, data: bytes) -> None:
    with suppress(RedisError):  # broken by another fault: the message is lost, as it would be
        world.redis.client.publish(channel, data)


def _lose(world: World, random: Random, lasts_s: float) -> None:
    body = _advance(world, random)
    world.sandbox.control("POST", "campaigns", {"id": CAMPAIGN, "currentWorldTime": body["newTime"]})


def _double(world: World, random: Random, lasts_s: float) -> None:
    body = _advance(world, random)
    world.sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "to": body["newTime"]})
    for _ in range(5):
        _publish(world, body)


def _repeat_old(world: World, random: Random, lasts_s: float) -> None:
    body = _advance(world, random)
    for minutes in (0, 60, 60 * 24 * 400):
        _publish(world, {**body, "newTime": stamp(parse(body["previousTime"]) - timedelta(minutes=minutes))})


def _malform(world: World, random: Random, lasts_s: float) -> None:
    for channel, data in random.sample(MALFORMED, len(MALFORMED)):
        _send(world, channel, data)


FAULTS: Final = [
    Fault("messages lost", "messages", _lose),
    Fault("messages doubled", "messages", _double),
    Fault("messages old", "messages", _repeat_old),
    Fault("messages malformed", "messages", _malform),
]
