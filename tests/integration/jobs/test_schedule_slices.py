"""Schedules are recalculated in slices: none is lost over what a list lacks, and none is made twice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import Any

import pytest
from django.utils import timezone

from jobs.engine.worker import attempt
from jobs.errors import TransientError
from jobs.main_api.client import MainApi
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.schedules.all_campaigns import AT_ONCE, CAMPAIGNS, WINDOW
from jobs.types import recalculate_settlement_schedules, recalculate_structure_schedules
from tests.support.slices import Sized, claim_oldest, lose, submit, work_off

pytestmark = pytest.mark.django_db(transaction=True)
SETTLEMENTS, STRUCTURES = "RECALCULATE_SETTLEMENT_SCHEDULES", "RECALCULATE_STRUCTURE_SCHEDULES"


def test_thousands_of_campaigns_are_looked_through_over_a_while(sized: Sized) -> None:
    """A few at once, the others spread; a retried slice makes no job a second time."""
    sized(campaigns=3_000)
    submit(SETTLEMENTS, "")
    while jobs := claim_oldest(campaign_id=""):
        attempt.run_handler(jobs)  # done, and killed before that is recorded
        lose(jobs[0])
        again = claim_oldest(id=jobs[0].id)
        attempt.record(attempt.run_handler(again), actor="worker:w", worker="w")

    ours = Job.objects.exclude(campaign_id="")
    # One is inactive, and one has neither a clock nor settlements: nothing of it can have changed.
    assert ours.count() == ours.values("campaign_id").distinct().count() == 2_998
    assert Job.objects.filter(campaign_id="").count() == 1 + ceil((2_999 - AT_ONCE) / CAMPAIGNS)
    seconds = Counter(due.replace(microsecond=0) for due in ours.values_list("due_at", flat=True))
    assert max(seconds.values()) <= AT_ONCE + 2 * CAMPAIGNS / WINDOW.total_seconds()
    assert len(seconds) > 120


def rows(kind: str) -> set[tuple[str, str, str]]:
    """The schedule rows of settlements or structures."""
    found = ScheduleRow.objects.filter(entity_type=kind)
    return set(found.values_list("entity_id", "event_type", "next_due"))


def small_slices(patch: pytest.MonkeyPatch, settlements: int, part: int) -> None:
    """Let slices be so small."""
    for module, name in (
        (recalculate_settlement_schedules, "SETTLEMENTS"),
        (recalculate_structure_schedules, "STRUCTURES"),
    ):
        patch.setattr(module, name, replace(getattr(module, name), settlements=settlements, part=part))


def row(entity_id: str, kind: str = "Settlement", campaign_id: str = "campaign-1", **more: Any) -> ScheduleRow:
    """A row of an entity that may not exist."""
    fields: dict[str, Any] = {
        "event_type": "POPULATION_GROWTH",
        "clock": "world",
        "anchor": "1001-06-01T11:30:00.000000Z",
        "interval": timedelta(hours=1),
        "next_due": "1001-06-01T12:30:00.000000Z",
        "job_type": "SETTLEMENT_GROWTH",
        "payload": {"settlementId": entity_id, "growthType": "POPULATION_GROWTH"},
    }
    return ScheduleRow.objects.create(
        entity_id=entity_id, entity_type=kind, campaign_id=campaign_id, **{**fields, **more}
    )


@pytest.mark.parametrize(("settlements", "part"), [(1, 1), (2, 1), (3, 5), (7, 2), (21, 4), (1000, 500)])
@pytest.mark.parametrize(("kind", "entity"), [(SETTLEMENTS, "Settlement"), (STRUCTURES, "Structure")])
def test_slices_of_any_size_make_the_same_schedules(
    sized: Sized, monkeypatch: pytest.MonkeyPatch, kind: str, entity: str, settlements: int, part: int
) -> None:
    """Deleted entities lose theirs, entities that are only missing keep them."""
    sized(campaigns=4, kingdoms=3, settlements=7, structures=2)
    submit(kind)
    work_off()
    whole = rows(entity)
    ScheduleRow.objects.all().delete()
    elsewhere = {"Settlement": "settlement-4-1-1", "Structure": "structure-4-1-1-1"}[entity]
    for entity_id in ("gone-1", "gone-2", elsewhere):
        row(entity_id, entity)
    ScheduleRow.objects.update(updated_at=timezone.now() - timedelta(hours=1))

    small_slices(monkeypatch, settlements, part)
    submit(kind)
    work_off()

    assert len(whole) == {"Settlement": 63, "Structure": 63}[entity]
    assert {r for r in rows(entity) if r[0] != elsewhere} == whole
    assert elsewhere in {r[0] for r in rows(entity)}
    assert not Job.objects.exclude(state="SUCCEEDED").exists()


@pytest.mark.parametrize("failing", ["settlementsByKingdom", "settlement"])
def test_no_schedule_is_removed_after_a_failed_read(
    sized: Sized, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Neither a failed list nor a failed single read costs a schedule."""
    sandbox = sized(kingdoms=2, settlements=2)
    submit(SETTLEMENTS)
    work_off()
    row("gone-1")
    before = rows("Settlement")
    sandbox.control("POST", "faults", {"graphqlErrorRate": 1, "operations": [failing]})

    submit(SETTLEMENTS)
    small_slices(monkeypatch, 1, 1)
    jobs = claim_oldest()
    attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")

    assert rows("Settlement") == before
    sandbox.control("DELETE", "faults")
    work_off()
    submit(SETTLEMENTS)
    work_off()
    assert {r[0] for r in before} - {r[0] for r in rows("Settlement")} == {"gone-1"}


def test_an_unreadable_kingdom_harms_no_other(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others get their schedules, its own stay, and it is named."""
    sized(kingdoms=3, settlements=2)
    row("settlement-1-2-1")

    ask = MainApi.settlements_by_kingdom

    def broken(api: MainApi, ids: Sequence[str]) -> Any:
        return ask(api, ids) | {i: TransientError("broken") for i in ids if i == "kingdom-1-2"}

    monkeypatch.setattr(MainApi, "settlements_by_kingdom", broken)
    small_slices(monkeypatch, 2, 1)
    submit(SETTLEMENTS)
    work_off()

    assert {i for i, _, _ in rows("Settlement")} == {
        f"settlement-1-{k}-{s}" for k, s in ((1, 1), (1, 2), (2, 1), (3, 1), (3, 2))
    }
    assert Job.objects.filter(state="DEAD", error__contains="kingdom kingdom-1-2: broken").exists()


def test_schedules_of_deleted_campaigns_are_removed_and_those_of_inactive_ones_stay(sized: Sized, api: MainApi) -> None:
    """Each is read individually: one that the list merely lacks keeps its schedules."""
    sandbox = sized(campaigns=4, kingdoms=1, settlements=1)
    for campaign_id in ("campaign-2", "campaign-3", "campaign-4", "no-such"):
        CampaignClock.objects.create(campaign_id=campaign_id)
        row(f"of-{campaign_id}", campaign_id=campaign_id)
    sandbox.control("POST", "campaigns", {"id": "campaign-4", "isActive": False})

    submit(SETTLEMENTS, "")
    work_off()

    left = ScheduleRow.objects.order_by("campaign_id").values_list("campaign_id", flat=True).distinct()
    assert list(left) == ["campaign-1", "campaign-2", "campaign-3", "campaign-4"]
    inactive = CampaignClock.objects.filter(is_active=False).values_list("pk", flat=True)
    assert set(inactive) == {"campaign-3", "campaign-4", "no-such"}


def test_a_campaign_missing_from_the_list_keeps_its_schedules(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list proves nothing."""
    sized(kingdoms=1, settlements=1)
    submit(SETTLEMENTS)
    work_off()
    before = rows("Settlement")
    monkeypatch.setattr(MainApi, "campaigns", lambda _self, **_: [])

    submit(SETTLEMENTS, "")
    work_off()

    assert before
    assert rows("Settlement") == before
