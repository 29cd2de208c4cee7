"""`python -m tests.chaos.households --seeds 200`: a town does not care how time is moved, whoever is killed meanwhile.

Each seed changes some entities as players do, plans up to three effects at world times, advances world time by 1 to
3,650 days in up to four steps, and kills processes while that is worked off. Afterwards every settlement and structure
is as jobs/world/household.py says, with each effect that was executed at its own time; and none was executed twice.
"""

import argparse
import json
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from jobs.states import ENDED
from jobs.world.clock import WorldTime, sortable
from jobs.world.entity import Entity, anchor_of
from jobs.world.growth import GrowthType
from jobs.world.household import Household
from jobs.world.maintenance import StructureEvent
from jobs.world.marks import KEY
from sandbox.postgresql import binaries
from tests.chaos.world import SECRET, World
from tests.support.households import carry, patch
from tests.support.servers import wait_until

CAMPAIGN: Final = "campaign-1"
SIZE: Final = {"campaigns": 1, "kingdoms": 2, "settlements": 4, "structures": 3, "events": 0, "effects": 0}
SETTLED_S: Final = 180.0
_UNDER_WAY: Final = (
    "SELECT (SELECT count(*) FROM jobs_job WHERE state NOT IN "  # noqa: S608 - our own words
    f"({', '.join(repr(state.value) for state in ENDED)})) AS jobs, "
    "(SELECT count(*) FROM jobs_worldstop) AS stops, "
    "(SELECT count(*) FROM jobs_schedulerow WHERE next_due > '' AND next_due <= '{reading}') AS due, "
    "(SELECT processed_world_time FROM jobs_campaignclock WHERE campaign_id = 'campaign-1') AS processed"
)
_ANCHORS: Final = "SELECT entity_id, event_type, anchor FROM jobs_schedulerow WHERE clock = 'world'"
State = dict[str, tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect at a world time: it sets variables of one settlement or structure."""

    id: str
    at: WorldTime
    entity_id: str
    variables: dict[str, Any]


@dataclass(slots=True)
class Seed:
    """What one seed did."""

    number: int
    days: int
    steps: int
    kills: int
    effects: int
    differences: list[str]

    def __str__(self) -> str:
        says = "; ".join(self.differences[:5]) or "as calculated"
        what = f"{self.days} days in {self.steps} steps, {self.effects} effects, {self.kills} kills"
        return f"seed {self.number}: {what}: {says}"


def run(numbers: list[int], *, database: str, copies: int = 2, say: Callable[[object], None] = print) -> list[Seed]:
    """Run the seeds one after the other, in one world."""
    roles = ("web", "worker", "scheduler", "listener")
    name = f"households-{database}-{time.monotonic_ns()}"
    world = World(name, database=database, epoch="", with_clock=False, copies=copies, roles=roles)
    seeds = []
    try:
        world.sandbox.control("POST", "reset", SIZE)
        world.start()
        for number in numbers:
            seeds.append(_run(world, Random(number), number))
            say(seeds[-1])
    finally:
        world.close()
    return seeds


def _run(world: World, chance: Random, number: int) -> Seed:
    _change(world, chance)
    _await_settled(world)
    before = _households(world)
    days, parts = chance.randint(1, 3650), chance.randint(1, 4)
    cuts = sorted(chance.sample(range(1, days * 1440), parts - 1))
    effects = _plan(world, chance, number, days)
    minutes = [b - a for a, b in zip([0, *cuts], [*cuts, days * 1440], strict=True)]
    kills = 0
    for step in minutes:
        world.sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "minutes": step})
        for _ in range(chance.randint(0, 2)):
            time.sleep(chance.uniform(0, 0.7))
            _kill(world, chance)
            kills += 1
    _await_settled(world)
    executed = Counter(one["effectId"] for one in world.sandbox.world()["executions"])
    differences = [f"{one.id} was executed {executed[one.id]} times" for one in effects if executed[one.id] > 1]
    done = [one for one in effects if executed[one.id]]
    differences += _differences(before, done, _reading(world), _state(world))
    return Seed(number, days, parts, kills, len(done), differences)


def _plan(world: World, chance: Random, number: int, days: int) -> list[Effect]:
    """Submit effects at world times in the days to come; in the order in which they will be executed."""
    now, reading = world.sandbox.world(), _reading(world)
    effects = []
    for n in range(chance.randint(0, 3)):
        at = WorldTime(reading.at + timedelta(minutes=chance.randint(1, days * 1440)))
        kind = chance.choice(["settlement", "structure"])
        variables: dict[str, Any] = {"population": chance.randint(50, 4000), "populationGrowthIntervalMinutes": 95}
        if kind == "structure":
            minutes = chance.randint(60, 10_000)
            variables = {"health": 900, "isOperational": False, "constructionDurationMinutes": minutes}
        effects.append(Effect(f"effect-{number}-{n}", at, chance.choice(sorted(now[f"{kind}s"])), variables))
        changes = [{"path": f"/variables/{name}", "value": value} for name, value in variables.items()]
        planted = {"id": effects[-1].id, "entityType": kind, "entityId": effects[-1].entity_id, "patch": changes}
        world.sandbox.control("POST", "effects", planted)
        _submit(world, effects[-1])
    return sorted(effects, key=lambda one: one.at)


def _submit(world: World, effect: Effect) -> None:
    payload = {"effectId": effect.id, "executeAtWorldTime": effect.at.isoformat()}
    body = json.dumps({"type": "DEFERRED_EFFECT", "campaignId": CAMPAIGN, "payload": payload}).encode()
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{world.url}/api/jobs", body, headers), timeout=20) as answer:
        assert answer.status == 201


def _change(world: World, chance: Random) -> None:
    """Change every entity as players do, so that much can happen again."""
    now = world.sandbox.world()
    for i, settlement in now["settlements"].items():
        variables = settlement["variables"] | {
            "population": chance.randint(50, 4000),
            "populationCap": chance.randint(100, 20_000),
            "resources": {"food": chance.randint(0, 50)},
            "requiredStructuresForLevelUp": chance.choice([[], ["market"], ["market", "temple"]]),
        }
        world.sandbox.control("POST", "settlements", {"id": i, "level": chance.randint(1, 3), "variables": variables})
    for i, structure in now["structures"].items():
        variables = structure["variables"] | {
            "health": chance.randint(10, 5000),
            "isOperational": chance.random() < 0.8,
            "requiredResourcesForUpgrade": {"gold": chance.randint(0, 5000)},
        }
        if chance.random() < 0.3:
            variables |= {"constructionDurationMinutes": chance.randint(60, 100_000), "isOperational": False}
        world.sandbox.control("POST", "structures", {"id": i, "variables": variables})
    until = time.monotonic() + SETTLED_S
    while not _is_seen(world):
        assert time.monotonic() < until, "the constructions are not seen"
        _tell(world)  # again, for a listener that was killed may not have heard it
        time.sleep(6)


def _tell(world: World) -> None:
    """Publish that entities have changed, as the main API does."""
    now = world.sandbox.world()
    for kind, i in (("Settlement", min(now["settlements"])), ("Structure", min(now["structures"]))):
        body = {"campaignId": CAMPAIGN, "entityType": kind, "entityId": i, "operation": "UPDATE"}
        world.redis.client.publish(f"campaign.{CAMPAIGN}.entityModified", json.dumps(body))


def _is_seen(world: World) -> bool:
    """Whether exactly the structures under construction have a schedule for that."""
    known = {row["entity_id"] for row in world.database.read(_ANCHORS) if row["event_type"] == "CONSTRUCTION_COMPLETE"}
    structures = world.sandbox.world()["structures"].values()
    return known == {s["id"] for s in structures if s["variables"].get("constructionDurationMinutes")}


def _kill(world: World, chance: Random) -> None:
    role = chance.choice(["worker", "worker", "scheduler", "listener"])
    with world.take_down(chance.choice(world.names_of(role))) as running:
        running.process.kill()
        running.process.wait()


def _await_settled(world: World) -> None:
    """Wait until the clock has been processed, nothing is due and no job is left, twice in a row."""
    quiet = 0

    def is_settled() -> bool:
        nonlocal quiet
        reading = _reading(world)
        (row,) = world.database.read(_UNDER_WAY.format(reading=sortable(reading)))
        settled = row["jobs"] == row["due"] == row["stops"] == 0 and row["processed"] == reading.isoformat()
        quiet = quiet + 1 if settled else 0
        return quiet > 4

    time.sleep(1)  # messages are folded for a while
    wait_until(is_settled, within_s=SETTLED_S, what="everything due is applied")


def _reading(world: World) -> WorldTime:
    return WorldTime.parse(world.sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"])


def _state(world: World) -> State:
    now = world.sandbox.world()
    return {i: (e["level"], e["variables"]) for kind in ("settlements", "structures") for i, e in now[kind].items()}


def _households(world: World) -> list[Household[WorldTime]]:
    now, reading = world.sandbox.world(), _reading(world)
    known = {(row["entity_id"], row["event_type"]): row["anchor"] for row in world.database.read(_ANCHORS)}

    def entity_of(record: dict[str, Any]) -> Entity[WorldTime]:
        events: list[str] = [*(StructureEvent if "settlementId" in record else GrowthType)]
        anchors = {}
        for event in events:
            text = known.get((record["id"], event))
            anchor = WorldTime.parse(text) if text else None
            anchors[event] = anchor_of(event, record["variables"], anchor, reading)
        kind = record.get("type", "")
        return Entity(id=record["id"], level=record["level"], variables=record["variables"], anchors=anchors, type=kind)

    return [
        Household(
            settlement=entity_of(settlement),
            structures={s["id"]: entity_of(s) for s in now["structures"].values() if s["settlementId"] == i},
        )
        for i, settlement in now["settlements"].items()
    ]


def _differences(
    before: list[Household[WorldTime]], effects: Sequence[Effect], reading: WorldTime, found: State
) -> list[str]:
    differences = []
    for household in before:
        calculated = household
        for one in effects:
            calculated = patch(carry(calculated, one.at), one.entity_id, one.variables)
        calculated = carry(calculated, reading)
        assert calculated.settlement
        for i, after in {calculated.settlement.id: calculated.settlement, **calculated.structures}.items():
            level, variables = found[i]
            expected = {**after.variables, "level": after.level}
            real = variables | {"level": level}
            for name in sorted((expected.keys() | real.keys()) - {KEY}):
                was, should = real.get(name), expected.get(name)
                differences += [f"{i}.{name} is {was!r}, not {should!r}"] if was != should else []
    return differences


def main() -> int:
    """Run the seeds; 1 if a world differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.households", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds (default: 20)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    if options.database == "postgresql" and binaries() is None:
        print("No PostgreSQL server is installed here.")
        return 1
    seeds = run(list(range(options.first, options.first + options.seeds)), database=options.database)
    failed = [seed.number for seed in seeds if seed.differences]
    print(f"{len(seeds)} seeds, {sum(s.kills for s in seeds)} kills; seeds that differ: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
