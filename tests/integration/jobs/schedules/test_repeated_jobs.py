"""What is due gets another job if its first one has ended and nothing was applied."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.run import Followup
from jobs.schedules.waiting import find_unapplied
from jobs.service import Submission
from jobs.states import State
from jobs.world.clock import WorldTime
from tests.support.advancing import CAMPAIGN, RECALCULATIONS, advance, entities, recalculate
from tests.support.effects import run
from tests.support.servers import SandboxApi
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)
APPLYING = ("SETTLEMENT_GROWTH", "STRUCTURE_MAINTENANCE")
BUILDING = "structure-1-1-1-1"
MONTH = 24 * 30


def recalculate_only() -> None:
    """Recalculate, and leave what is due in its queue."""
    for kind in RECALCULATIONS:
        submission = Submission(type=kind, campaign_id=CAMPAIGN, payload={}, subject=f"only {Job.objects.count()}")
        run(service.submit(submission, actor="test")[0])


def set_active(sandbox: SandboxApi, active: bool) -> None:
    sandbox.control("POST", "campaigns", {"id": CAMPAIGN, "isActive": active})


def applying_jobs() -> Any:
    return Job.objects.filter(type__in=APPLYING, campaign_id=CAMPAIGN)


def mine(sandbox: SandboxApi) -> dict[str, Any]:
    return {i: one for i, one in entities(sandbox).items() if i.startswith(("settlement-1-", "structure-1-"))}


def test_a_campaign_that_was_inactive_for_a_moment_misses_nothing(redis: Redis, sandbox: SandboxApi) -> None:
    """It is deactivated while jobs are queued, which are skipped then, and activated again."""
    recalculate(redis)
    before = mine(sandbox)
    advance(sandbox, 10)
    recalculate_only()
    set_active(sandbox, False)
    recalculate_only()
    work(redis)
    skipped = applying_jobs().filter(state=State.SKIPPED).count()
    set_active(sandbox, True)
    recalculate(redis)
    recalculate(redis)

    after = mine(sandbox)
    assert skipped
    assert [i for i in after if after[i] == before[i]] == []
    count = applying_jobs().count()
    recalculate(redis)
    assert applying_jobs().count() == count


def test_a_construction_whose_job_was_skipped_is_complete_in_time(redis: Redis, sandbox: SandboxApi) -> None:
    variables = {"isOperational": False, "constructionDurationMinutes": 60 * MONTH}
    sandbox.control("POST", "structures", {"id": BUILDING, "variables": variables})
    recalculate(redis)
    advance(sandbox, MONTH)
    recalculate_only()
    CampaignClock.objects.filter(pk=CAMPAIGN).update(is_active=False)  # by a list, before its next recalculation
    work(redis)
    CampaignClock.objects.filter(pk=CAMPAIGN).update(is_active=True)
    recalculate(redis)

    assert sandbox.world()["structures"][BUILDING]["variables"]["isOperational"]


GROWTH = Followup(
    type="SETTLEMENT_GROWTH",
    campaign_id=CAMPAIGN,
    payload={"settlementId": "settlement-1-1-1", "growthType": "POPULATION_GROWTH"},
    clock_due=WorldTime.parse("1001-06-01T12:00:00Z"),
    interval=timedelta(hours=1),
)


@pytest.mark.parametrize("state", list(State))
def test_only_what_has_ended_as_if_it_were_done_gets_another_job(redis: Redis, state: State) -> None:
    """What an operator has cancelled or discarded stays so, and so does a dead letter."""
    submit = partial(service.submit_followups, [GROWTH], actor="test", reason="due")
    assert submit() == 1
    more = {"lease_until": timezone.now()} if state is State.RUNNING else {}
    Job.objects.update(state=state, finished_at=timezone.now(), **more)

    assert [submit(), submit()] == [int(state in (State.SUCCEEDED, State.SKIPPED)), 0]
    assert len(set(Job.objects.values_list("subject", flat=True))) == 1


def test_a_job_that_is_skipped_again_and_again_pauses_longer_each_time(redis: Redis) -> None:
    submit = partial(service.submit_followups, [GROWTH], actor="test", reason="due")
    submit()
    made = []
    for ago in (0, 0, 1, 2, 3, 6, 7):
        newest = Job.objects.filter(pk=Job.objects.latest("id").pk)
        newest.update(state=State.SKIPPED, finished_at=timezone.now() - timedelta(seconds=ago))
        made.append(submit())
    assert made == [1, 0, 1, 0, 1, 0, 1]


def test_what_has_another_job_is_waited_for(redis: Redis, sandbox: SandboxApi) -> None:
    """A stop's world and a settlement wait for it as for the first one."""
    recalculate(redis)
    advance(sandbox, 10)
    recalculate_only()
    reading = WorldTime.parse(sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"])
    ScheduleRow.objects.update(updated_at=timezone.now() - timedelta(hours=1))

    def waited_for() -> int:
        return sum(1 for one in find_unapplied(CAMPAIGN, reading) if one.row.entity_type == "Structure")

    every = waited_for()
    Job.objects.filter(type="STRUCTURE_MAINTENANCE").update(state=State.SKIPPED, finished_at=timezone.now())
    without = waited_for()
    recalculate_only()
    ScheduleRow.objects.update(updated_at=timezone.now() - timedelta(hours=1))

    assert [without, waited_for()] == [0, every]
    assert every
