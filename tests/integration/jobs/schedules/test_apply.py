"""Growth and maintenance of many entities at once, against the sandbox."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from msgspec.structs import replace

from jobs import overrides
from jobs.errors import NotBegun, Skip, TransientError
from jobs.main_api.client import MainApi
from jobs.models import CampaignClock, ScheduleRow
from jobs.overrides import Overrides
from jobs.registry import Answer, Item, type_named
from jobs.run import Run
from jobs.schedules.advances import DatabaseAdvances
from jobs.schedules.apply import PART
from jobs.schedules.store import DatabaseSchedules
from jobs.triggers.store import DatabaseTriggers
from jobs.world.clock import WorldTime
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


def item(
    api: MainApi,
    kind: str,
    payload: dict[str, Any],
    *,
    due: str = "1001-06-01T12:00:00Z",
    n: int = 1,
    every: timedelta = HOUR,
) -> Item:
    """A job of the first campaign that is due on its clock."""
    run = Run(
        job_id=f"job-{kind}-{sorted(payload.values())}",
        campaign_id="campaign-1",
        attempt=1,
        due_at=timezone.now(),
        api=api,
        schedules=DatabaseSchedules(),
        advances=DatabaseAdvances(),
        triggers=DatabaseTriggers(),
        submit=len,
        clock_due=WorldTime.parse(due),
        occurrences=n,
        interval=every,
    )
    return Item(type_named(kind).parse(payload), run)


def growth(api: MainApi, settlement: str, growth_type: str, **more: Any) -> Item:
    """One kind of growth of one settlement."""
    return item(api, "SETTLEMENT_GROWTH", {"settlementId": settlement, "growthType": growth_type}, **more)


def apply(kind: str, items: list[Item]) -> list[Answer]:
    """Hand a batch to its handler."""
    return list(type_named(kind).handle(items))


def requests_and_updates(sandbox: SandboxApi, operation: str) -> tuple[int, int]:
    """How many HTTP requests the sandbox has had, and how many operations of one name."""
    stats = sandbox.control("GET", "stats")
    return stats["requests"], stats["operations"].get(operation, 0)


def test_a_settlement_s_growth_is_one_update(api: MainApi, sandbox: SandboxApi) -> None:
    """Six settlements with three kinds of growth: one read, one read of structures, one write."""
    ids = [f"settlement-1-{k}-{s}" for k in (1, 2) for s in (1, 2, 3)]
    kinds = ("POPULATION_GROWTH", "RESOURCE_GENERATION", "LEVEL_UP_CHECK")
    api.main_branch("campaign-1")
    requests, updates = requests_and_updates(sandbox, "updateSettlement")

    answers = apply("SETTLEMENT_GROWTH", [growth(api, i, k, n=2) for i in ids for k in kinds])

    assert all(isinstance(answer, dict) for answer in answers)
    after = requests_and_updates(sandbox, "updateSettlement")
    assert (after[0] - requests, after[1] - updates) == (3, 6)
    marks = sandbox.world()["settlements"]["settlement-1-2-3"]["variables"]["schedulerMarks"]
    assert marks == {"clock": "world", **dict.fromkeys(kinds, "1001-06-01T12:00:00.000Z")}


def test_an_update_is_dated_by_the_last_due_time_applied(api: MainApi, sandbox: SandboxApi) -> None:
    """On the world's clock, whatever the time is here."""
    town = "settlement-1-1-1"
    earlier = growth(api, town, "POPULATION_GROWTH", due="1001-06-01T09:00:00Z")
    later = growth(api, town, "RESOURCE_GENERATION", due="1001-06-01T10:00:00Z", n=2)

    apply("SETTLEMENT_GROWTH", [later, earlier])

    (written,) = sandbox.world()["history"]
    marks = sandbox.world()["settlements"][town]["variables"]["schedulerMarks"]
    assert written["entityId"] == town
    assert written["worldTime"] == max(at for name, at in marks.items() if name != "clock")
    assert written["worldTime"][:13] in ("1001-06-01T09", "1001-06-01T10")


def test_applying_a_batch_twice_changes_nothing(api: MainApi, sandbox: SandboxApi) -> None:
    """The marks make every job of the second run a skip."""
    items = [growth(api, f"settlement-1-1-{s}", "RESOURCE_GENERATION") for s in (1, 2, 3)]
    apply("SETTLEMENT_GROWTH", items)
    before = sandbox.world()["settlements"]

    answers = apply("SETTLEMENT_GROWTH", items)

    assert all(isinstance(answer, Skip) for answer in answers)
    assert sandbox.world()["settlements"] == before


def test_missing_settlements_are_skipped_and_harm_no_other(api: MainApi, sandbox: SandboxApi) -> None:
    """An archived, a missing and a living one in one batch."""
    sandbox.control("POST", "settlements", {"id": "settlement-1-1-2", "archivedAt": "2026-01-01T00:00:00Z"})
    ids = ("settlement-1-1-1", "settlement-1-1-2", "no-such")

    answers = apply("SETTLEMENT_GROWTH", [growth(api, i, "RESOURCE_GENERATION") for i in ids])

    assert isinstance(answers[0], dict)
    assert answers[0]["after"]["resources"]["gold"] == 5
    assert [type(answer) for answer in answers[1:]] == [Skip, Skip]


def test_a_deactivated_campaign_stops_growing(api: MainApi, sandbox: SandboxApi) -> None:
    """Scheduled growth is skipped without a request; growth submitted by hand is done."""
    CampaignClock.objects.create(campaign_id="campaign-1", is_active=False)
    due = growth(api, "settlement-1-1-1", "RESOURCE_GENERATION")
    by_hand = growth(api, "settlement-1-1-2", "RESOURCE_GENERATION")
    by_hand = by_hand._replace(run=replace(by_hand.run, clock_due=None))

    skipped, done = apply("SETTLEMENT_GROWTH", [due, by_hand])

    assert isinstance(skipped, Skip)
    assert isinstance(done, dict)
    assert requests_and_updates(sandbox, "updateSettlement")[1] == 1
    before = requests_and_updates(sandbox, "updateSettlement")
    assert isinstance(apply("SETTLEMENT_GROWTH", [due])[0], Skip)
    assert requests_and_updates(sandbox, "updateSettlement") == before


def test_odd_numbers_harm_no_other(api: MainApi, sandbox: SandboxApi) -> None:
    """Thirty digits, four hundred, NaN: each is written back, unknown variables unchanged."""
    motto: dict[str, Any] = {"motto": "É ☃", "nested": {"a": [1, None, {"b": 1e-7}]}, "": 10**30}
    odd: dict[str, dict[str, Any]] = {
        "settlement-1-1-1": {"population": 10**29, "populationCap": 1e30, "populationGrowthRate": 0.5},
        "settlement-1-1-2": {"population": 10**400, "populationCap": 10**401, "populationGrowthRate": 20},
        "settlement-1-1-3": {"population": "many", "populationCap": [], "populationGrowthRate": {}},
    }
    for i, variables in odd.items():
        sandbox.control("POST", "settlements", {"id": i, "variables": {**variables, **motto}})

    kinds = ("POPULATION_GROWTH", "RESOURCE_GENERATION", "LEVEL_UP_CHECK")
    answers = apply("SETTLEMENT_GROWTH", [growth(api, i, k, n=1_000_000) for i in odd for k in kinds])

    assert all(isinstance(answer, dict) for answer in answers)
    after = [sandbox.world()["settlements"][i]["variables"] for i in odd]
    assert [v["population"] for v in after] == [int(1e30), 10**401, 1000]
    assert all(v["resources"]["gold"] > 5_000_000 for v in after)  # levels shorten the interval
    assert all(v[name] == value for v in after for name, value in motto.items())


def test_variables_that_are_a_list_harm_no_other(api: MainApi, sandbox: SandboxApi) -> None:
    """They count as empty: defaults apply."""
    sandbox.control("POST", "settlements", {"id": "settlement-1-1-2", "variables": [1]})

    answers = apply("SETTLEMENT_GROWTH", [growth(api, f"settlement-1-1-{n}", "POPULATION_GROWTH") for n in (1, 2)])

    assert [type(answer) for answer in answers] == [dict, dict]
    assert sandbox.world()["settlements"]["settlement-1-1-2"]["variables"]["population"] == 105


def test_version_conflicts_are_read_again_and_applied_once(api: MainApi, sandbox: SandboxApi) -> None:
    """Two entities change between read and write; every job is applied exactly once."""
    sandbox.control("POST", "faults", {"versionConflicts": 2})
    ids = [f"settlement-1-1-{s}" for s in (1, 2, 3)]
    before = sandbox.world()["settlements"]

    answers = apply("SETTLEMENT_GROWTH", [growth(api, i, "RESOURCE_GENERATION") for i in ids])

    assert all(isinstance(answer, dict) for answer in answers)
    for i in ids:
        gold = before[i]["variables"]["resources"].get("gold", 0)
        assert sandbox.world()["settlements"][i]["variables"]["resources"]["gold"] == gold + 5


def test_what_a_slow_main_api_leaves_no_time_for_is_handed_back(api: MainApi, sandbox: SandboxApi) -> None:
    """What was applied by then is recorded; the others come again, and nothing is applied twice."""
    real, missing = "settlement-1-1-1", [f"no-such-{n}" for n in range(2 * PART)]
    row = ScheduleRow.objects.create(
        campaign_id="campaign-1",
        entity_type="Settlement",
        entity_id=real,
        event_type="RESOURCE_GENERATION",
        clock="world",
        anchor="1001-06-01T11:00:00.000000Z",
        interval=HOUR,
        next_due="1001-06-01T12:00:00.000000Z",
    )
    items = [growth(api, one, "RESOURCE_GENERATION") for one in (real, *missing)]
    api.main_branch("campaign-1")
    sandbox.control("POST", "faults", {"latencyMs": 400})
    overrides.use({"SETTLEMENT_GROWTH": Overrides(timeout_s=1)})
    try:
        answers = apply("SETTLEMENT_GROWTH", items)
    finally:
        overrides.use({})
    recorded = ScheduleRow.objects.get(pk=row.pk).anchor
    sandbox.control("POST", "faults", {"latencyMs": 0})
    again = apply("SETTLEMENT_GROWTH", items)

    assert [type(one) for one in answers] == [dict] + [Skip] * (PART - 1) + [NotBegun] * (PART + 1)
    assert {type(one) for one in again} == {Skip}
    assert recorded > row.anchor


def test_each_town_goes_on_without_levels_by_its_own_attempts(api: MainApi, sandbox: SandboxApi) -> None:
    """The third attempt of all its due jobs; what only had to wait or was handed back is none."""
    people = {"population": 5000, "populationCap": 90000, "requiredStructuresForLevelUp": ["market"]}
    kinds, towns = ("POPULATION_GROWTH", "RESOURCE_GENERATION"), [f"settlement-1-1-{n}" for n in (1, 2, 3)]
    for town in towns:
        sandbox.control("POST", "settlements", {"id": town, "level": 1, "variables": people})
    sandbox.control("POST", "faults", {"operations": ["structuresBySettlement"], "errorRate": 1})
    claims = {towns[0]: ((3, 0), (3, 0)), towns[1]: ((3, 0), (1, 0)), towns[2]: ((3, 2), (3, 2))}
    items = [
        one._replace(run=replace(one.run, attempt=attempt, waits=waits))
        for town, of_town in claims.items()
        for kind, (attempt, waits) in zip(kinds, of_town, strict=True)
        for one in [growth(api, town, kind)]
    ]

    answers = apply("SETTLEMENT_GROWTH", items)

    assert [isinstance(answer, dict) for answer in answers] == [True] * 2 + [False] * 4
    assert {type(answer) for answer in answers[2:]} == {TransientError}


def test_a_structure_s_maintenance_is_one_update(api: MainApi, sandbox: SandboxApi) -> None:
    """Wear and upgrade check of three structures: read, read their settlement, write."""
    ids = [f"structure-1-1-1-{n}" for n in (1, 2)]
    api.main_branch("campaign-1")
    requests, updates = requests_and_updates(sandbox, "updateStructure")

    answers = apply(
        "STRUCTURE_MAINTENANCE",
        [
            item(api, "STRUCTURE_MAINTENANCE", {"structureId": i, "eventType": e}, n=3, every=2 * HOUR)
            for i in ids
            for e in ("MAINTENANCE_DUE", "UPGRADE_AVAILABLE")
        ],
    )

    assert all(isinstance(answer, dict) for answer in answers)
    after = requests_and_updates(sandbox, "updateStructure")
    assert (after[0] - requests, after[1] - updates) == (3, 2)
    worn = sandbox.world()["structures"]["structure-1-1-1-1"]["variables"]
    assert (worn["health"], worn["missedMaintenance"], worn["upgradeAvailable"]) == (70, 3, False)


def test_a_schedule_ends_although_the_attempt_that_applied_it_could_not_record_it(
    api: MainApi, sandbox: SandboxApi
) -> None:
    """Construction completes once. Its row would stay due, and the settlement wait for it."""
    sandbox.control("POST", "structures", {"id": "structure-1-1-1-1", "variables": {"constructionDurationMinutes": 60}})
    row = {
        "campaign_id": "campaign-1",
        "entity_type": "Structure",
        "entity_id": "structure-1-1-1-1",
        "event_type": "CONSTRUCTION_COMPLETE",
        "clock": "world",
        "anchor": "1001-06-01T11:00:00.000000Z",
        "interval": HOUR,
        "next_due": "1001-06-01T12:00:00.000000Z",
        "job_type": "STRUCTURE_MAINTENANCE",
    }
    built = item(
        api, "STRUCTURE_MAINTENANCE", {"structureId": "structure-1-1-1-1", "eventType": "CONSTRUCTION_COMPLETE"}
    )
    ScheduleRow.objects.create(**row)
    (done,) = apply("STRUCTURE_MAINTENANCE", [built])
    ScheduleRow.objects.all().delete()
    ScheduleRow.objects.create(**row)
    (again,) = apply("STRUCTURE_MAINTENANCE", [built])

    assert isinstance(done, dict)
    assert isinstance(again, Skip)
    assert not ScheduleRow.objects.filter(event_type="CONSTRUCTION_COMPLETE").exists()


@pytest.mark.parametrize(("gold", "available"), [(99, False), (100, True)])
def test_an_upgrade_check_by_hand_looks_at_the_settlement_now(
    api: MainApi, sandbox: SandboxApi, gold: int, available: bool
) -> None:
    """A job that is on no schedule applies its one event."""
    needs = {"requiredResourcesForUpgrade": {"gold": 100}, "maxLevel": 9}
    sandbox.control("POST", "structures", {"id": "structure-1-1-1-1", "level": 1, "variables": needs})
    sandbox.control("POST", "settlements", {"id": "settlement-1-1-1", "variables": {"resources": {"gold": gold}}})
    payload = {"structureId": "structure-1-1-1-1", "eventType": "UPGRADE_AVAILABLE"}
    by_hand = item(api, "STRUCTURE_MAINTENANCE", payload)

    (answer,) = apply("STRUCTURE_MAINTENANCE", [by_hand._replace(run=replace(by_hand.run, clock_due=None))])

    assert isinstance(answer, dict), answer
    assert sandbox.world()["structures"]["structure-1-1-1-1"]["variables"]["upgradeAvailable"] is available
