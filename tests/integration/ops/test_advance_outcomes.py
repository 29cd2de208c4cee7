"""What jobs did to an entity, put together from their results."""

from typing import Any

import pytest
from django.utils import timezone

from jobs.models import Job
from jobs.schedules.predictions import Expected
from jobs.states import State
from ops.reads.advance_outcomes import read_outcomes

pytestmark = pytest.mark.django_db
TOWN = "s-1"
NOON, NIGHT, LATER = (f"1001-06-0{day}:00:00.000Z" for day in ("1T12", "1T22", "3T12"))


def job(event: str, due: str, result: dict[str, Any] | None, state: State = State.SUCCEEDED) -> Job:
    return Job.objects.create(
        type="SETTLEMENT_GROWTH",
        campaign_id="c-1",
        subject=f"{TOWN}:{event}",
        unique_key=f"{event} {due}",
        state=state,
        due_at=timezone.now(),
        finished_at=timezone.now(),
        source="test",
        clock="world",
        clock_due=due,
        result=result,
    )


def change(occurrences: int, before: dict[str, Any], after: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"occurrences": occurrences, "before": before, "after": after, **more}


def expect(version: int, **occurrences: int) -> dict[str, Expected]:
    return {TOWN: Expected("Settlement", TOWN, "Riverton", TOWN, version, occurrences, {}, {})}


def test_changes_follow_each_other_by_version() -> None:
    """Those of events without a job of their own, too; what is the same in the end has not changed."""
    job("POPULATION_GROWTH", NIGHT, change(2, {"population": 30, "mood": 1}, {"population": 40, "mood": 2}, version=9))
    also = {"LEVEL_UP_CHECK": change(1, {"level": 1}, {"level": 2}), "odd": 1}
    job("POPULATION_GROWTH", NOON, change(1, {"population": 20, "mood": 2}, {"population": 30}, version=8, also=also))
    job("RESOURCE_GENERATION", NOON, None, State.SKIPPED)
    found = read_outcomes(Job.objects.all())[TOWN]

    assert found.occurrences == {"POPULATION_GROWTH": 3, "LEVEL_UP_CHECK": 1}
    assert (found.before, found.after) == ({"population": 20, "level": 1}, {"population": 40, "level": 2})
    assert (found.version, found.dead, found.is_live) == (7, None, False)
    assert not found.was_changed_between
    job("POPULATION_GROWTH", LATER, change(1, {"population": 4}, {"population": 5}, version=11))
    assert read_outcomes(Job.objects.all())[TOWN].was_changed_between


def test_an_advance_is_not_credited_with_what_came_before_or_after_it() -> None:
    """Of a job that was due later only what was missing: it applied both."""
    job("POPULATION_GROWTH", NOON, change(1, {"population": 10}, {"population": 20}, version=5))
    job("POPULATION_GROWTH", NIGHT, change(2, {"population": 20}, {"population": 40}, version=6))
    job("POPULATION_GROWTH", LATER, change(9, {"population": 40}, {"population": 90}, version=7))

    assert read_outcomes(Job.objects.all(), until=NIGHT, expected=expect(5, POPULATION_GROWTH=2))[TOWN].after == {
        "population": 40
    }
    missing = read_outcomes(Job.objects.all(), until=NIGHT, expected=expect(5, POPULATION_GROWTH=3))[TOWN]
    assert (missing.after, missing.occurrences.total(), missing.version) == ({"population": 90}, 11, 5)


def test_failed_and_live_jobs_are_those_of_the_advance() -> None:
    dead = job("POPULATION_GROWTH", NOON, None, State.DEAD)
    job("POPULATION_GROWTH", LATER, None, State.QUEUED)
    found = read_outcomes(Job.objects.all(), until=NIGHT)[TOWN]

    assert (found.dead, found.is_live) == (dead, False)
    assert read_outcomes(Job.objects.all())[TOWN].is_live
