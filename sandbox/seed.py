"""The records that a sandbox begins with: the same ones for the same seed and size."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sandbox.contract import Record, parse, stamp

#: Of the first campaign's world, where worlds are served: ten months of 36 days.
CALENDAR: Record = {
    "id": "calendar-1",
    "name": "Reckoning of Sails",
    "monthsPerYear": 10,
    "daysPerMonth": [36] * 10,
    "monthNames": ["Keel", "Oar", "Mast", "Rudder", "Anchor", "Bilge", "Halyard", "Lantern", "Tiller", "Harbour"],
    "epoch": "0001-01-01T00:00:00.000Z",
    "notes": "No leap years.",
}

EVENTS: Final = ("Spring fair", "Siege of the old keep", "Return of the fleet", "Coronation", "Night of lanterns")
EFFECTS: Final = ("Good harvest", "Fever in the docks", "Tax holiday", "Broken dam", "New trade road", "Wolf winter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The number of records in each parent."""

    campaigns: int = 3
    kingdoms: int = 2
    settlements: int = 3
    structures: int = 3
    events: int = 4
    effects: int = 4


def seed_records(size: Size, seed: int) -> Iterator[tuple[str, Record]]:
    """Each record with the table that it belongs to, parents first."""
    chance = random.Random(seed)  # noqa: S311 - a world, not a secret
    for c in range(1, size.campaigns + 1):
        yield from _campaign(c, size, chance)


def _campaign(c: int, size: Size, chance: random.Random) -> Iterator[tuple[str, Record]]:
    """A campaign; the second has no world time, and the third is inactive."""
    campaign_id = f"campaign-{c}"
    clock = None if c == 2 else f"{1000 + c % 9000:04d}-06-01T12:00:00.000Z"
    yield (
        "campaigns",
        {
            "id": campaign_id,
            "name": f"{_name(chance)} Chronicles",
            "isActive": c != 3,
            "currentWorldTime": clock,
            "worldId": f"world-{c}",
        },
    )
    yield "worlds", {"id": f"world-{c}", "calendars": {"calendars": [CALENDAR] if c == 1 else []}}
    drawn: Counter[str] = Counter()
    for k in range(1, size.kingdoms + 1):
        kingdom = {"id": f"kingdom-{c}-{k}", "campaignId": campaign_id, "name": _name(chance)}
        yield "kingdoms", kingdom
        for s in range(1, size.settlements + 1):
            yield from _settlement(f"{c}-{k}-{s}", kingdom["id"], size, chance, drawn)
    base = parse(clock) if clock else datetime(2026, 1, 1, tzinfo=UTC)
    for e in range(1, size.events + 1):
        at = base + timedelta(minutes=30 * e - 60)
        yield "events", make_event(f"event-{c}-{e}", campaign_id, stamp(at))
    for f in range(1, size.effects + 1):
        yield "effects", make_effect(f"effect-{c}-{f}", f"event-{c}-1", active=f != size.effects)


def make_event(event_id: str, campaign_id: str, scheduled_at: str) -> Record:
    return {
        "id": event_id,
        "campaignId": campaign_id,
        "name": _pick(EVENTS, event_id),
        "eventType": "story",
        "scheduledAt": scheduled_at,
        "occurredAt": None,
        "isCompleted": False,
    }


def make_effect(effect_id: str, entity_id: str, *, active: bool = True) -> Record:
    return {
        "id": effect_id,
        "name": _pick(EFFECTS, effect_id),
        "effectType": "patch",
        "entityType": "event",
        "entityId": entity_id,
        "timing": "ON_RESOLVE",
        "priority": 1,
        "isActive": active,
        "version": 1,
    }


def _settlement(
    number: str, kingdom_id: str, size: Size, chance: random.Random, drawn: Counter[str]
) -> Iterator[tuple[str, Record]]:
    """A settlement and its structures; its name is unique in its campaign: `drawn` counts the names."""
    level = chance.randint(1, 3)
    variables: Record = {
        "population": chance.randint(100, (level + 1) * 500),
        "populationCap": 5000,
        "populationGrowthRate": 0.05,
        "resources": {"food": chance.randint(0, 50)},
        "requiredStructuresForLevelUp": ["market"],
        "motto": f"By {_name(chance)}!",
    }
    settlement = {
        "id": f"settlement-{number}",
        "kingdomId": kingdom_id,
        "name": _new_name(chance, drawn),
        "level": level,
        "variables": variables,
        "version": 1,
        "archivedAt": None,
    }
    yield "settlements", settlement
    for t in range(1, size.structures + 1):
        kind = ("market", "temple", "barracks")[(t - 1) % 3]
        variables = {"maintenanceIntervalMinutes": 120, "health": 100, "requiredResourcesForUpgrade": {"gold": 20}}
        if t == size.structures and t > 1:
            variables |= {"constructionDurationMinutes": 90, "isOperational": False}
        structure = {
            "id": f"structure-{number}-{t}",
            "settlementId": settlement["id"],
            "level": 1,
            "type": kind,
            "name": f"{_number(kind.title(), (t - 1) // 3)} of {settlement['name']}",
            "variables": variables,
            "version": 1,
            "archivedAt": None,
        }
        yield "structures", structure


def _pick(names: Sequence[str], record_id: str) -> str:
    """The name for the number at the end of an ID, which may be any text."""
    number = re.search(r"(\d{1,6})$", record_id)
    rounds, place = divmod(int(number[1]) - 1 if number else len(record_id), len(names))
    return _number(names[place], rounds if number else 0)


def _number(name: str, before: int) -> str:
    """The name with its number, if others of that name come before it."""
    return f"{name} {before + 1}" if before > 0 else name


def _new_name(chance: random.Random, drawn: Counter[str]) -> str:
    name = _name(chance)
    before, drawn[name] = drawn[name], drawn[name] + 1
    prefixes = ("", "Upper ", "Lower ", "Old ", "New ")
    return f"{prefixes[before]}{name}" if before < len(prefixes) else f"{name} {before + 1}"


def _name(chance: random.Random) -> str:
    first = ("River", "North", "Amber", "Stone", "Raven", "Silver", "Oak", "Winter")
    last = ("ton", "march", "hold", "ford", "watch", "haven", "dale", "moor")
    return chance.choice(first) + chance.choice(last)
