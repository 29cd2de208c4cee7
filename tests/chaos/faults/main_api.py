"""A main API that is away, slow, odd or full of strange texts."""

import time
from collections.abc import Mapping
from random import Random
from typing import Any, Final

from tests.chaos.faults.fault import Fault, Strike
from tests.chaos.world import World
from tests.support.answers import UNCLEAR, UNDERSTOOD

#: Odd things in records that every list read meets: (table, id, field, value).
ODD: Final[list[tuple[str, str, str, object]]] = [
    ("campaigns", "campaign-1", "name", "\ud83c"),
    ("campaigns", "campaign-2", "name", "\0"),
    ("campaigns", "campaign-2", "currentWorldTime", "soon"),
    ("campaigns", "campaign-1", "name", "x" * 300_000),
    ("events", "event-1-1", "name", "half \ud83c a castle"),
    ("events", "event-1-2", "scheduledAt", "tomorrow"),
    ("settlements", "settlement-1-1-1", "name", "\0" * 1000),
    ("settlements", "settlement-1-1-2", "variables", {"population": "many", "resources": [], "schedulerMarks": 7}),
    ("structures", "structure-1-1-1-1", "variables", {"health": 1e300, "maintenanceIntervalMinutes": -1}),
    ("effects", "effect-1-1", "name", "y" * 100_000),
]
REPLIES: Final = 4


def _with(faults: Mapping[str, Any]) -> Strike:
    def strike(world: World, random: Random, lasts_s: float) -> None:
        world.break_api(dict(faults))
        time.sleep(lasts_s)
        world.restore_api()

    return strike


def _answer(reply: Mapping[str, Any]) -> Strike:
    """Some requests are carried out and answered so: effects, or whatever comes."""

    def strike(world: World, random: Random, lasts_s: float) -> None:
        operations = random.choice([["executeEffect"], ["executeEffect"], []])
        world.break_api({"replies": [dict(reply)] * REPLIES, "operations": operations})
        time.sleep(lasts_s)
        world.restore_api()

    return strike


def _claim(reply: Mapping[str, Any]) -> Strike:
    """Effects are executed, and that is told in an odd way."""
    return _with({"replies": [reply] * REPLIES, "operations": ["executeEffect"]})


def _odd(table: str, record: str, field: str, value: object) -> Strike:
    def strike(world: World, random: Random, lasts_s: float) -> None:
        before = world.sandbox.world()[table][record][field]
        world.sandbox.control("POST", table, {"id": record, field: value})
        time.sleep(lasts_s)
        world.sandbox.control("POST", table, {"id": record, field: before})

    return strike


_WAYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "main API away": {"outage": True},
    "main API slow": {"latencyMs": 5000},
    "main API trickles": {"trickle": 200},
    "main API fails": {"errorRate": 0.5},
    "GraphQL errors": {"graphqlErrorRate": 0.5},
    "not JSON": {"malformed": 20},
    "answers lost": {"loseAnswers": 20},
    "effects' answers lost": {"loseAnswers": 20, "operations": ["executeEffect"]},
    "too many requests": {"rateLimit": {"next": 20, "retryAfterS": 1}},
    "requests too large": {"largestRequest": 500},
    "version conflicts": {"versionConflicts": 20},
}
FAULTS: Final = [
    *(Fault(name, "main API", _with(faults)) for name, faults in _WAYS.items()),
    *(Fault(f"answer: {name}", "main API", _answer(reply)) for name, reply in UNCLEAR.items()),
    *(Fault(f"answer: {name}", "main API", _claim(reply)) for name, reply in UNDERSTOOD.items()),
    *(Fault(f"odd {odd[0]} {number}", "main API", _odd(*odd)) for number, odd in enumerate(ODD)),
]
