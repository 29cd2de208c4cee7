"""Schedules move in the transaction that submits the jobs which are due then: a failure between two would lose them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError
from redis import Redis

from jobs import service
from jobs.errors import JobError
from jobs.main_api.client import MainApi
from jobs.models import Job, ScheduleRow
from jobs.registry import Item, type_named
from jobs.run import Followup, Run
from jobs.schedules import clocks
from jobs.schedules.advances import DatabaseAdvances
from jobs.schedules.store import DatabaseSchedules
from jobs.triggers.store import DatabaseTriggers
from tests.support.advancing import CAMPAIGN, advance, hear
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
GROWTH, MAINTENANCE = "SETTLEMENT_GROWTH", "STRUCTURE_MAINTENANCE"
OF_SETTLEMENTS, OF_STRUCTURES = "RECALCULATE_SETTLEMENT_SCHEDULES", "RECALCULATE_STRUCTURE_SCHEDULES"
TOWN, STRUCTURES = "settlement-1-1-1", [f"structure-1-1-1-{n}" for n in (1, 2, 3)]
Submit = Callable[[Sequence[Followup]], int]


class Submitted:
    """Takes submitted jobs, and keeps them."""

    def __init__(self) -> None:
        self.jobs: list[Followup] = []

    def __call__(self, due: Sequence[Followup]) -> int:
        self.jobs += due
        return len(due)


class Town:
    """A town whose growth is due, and waits for its structures; calls handlers with its jobs."""

    def __init__(self, api: MainApi, sandbox: SandboxApi) -> None:
        self.api = api
        self.sandbox = sandbox
        self.recalculate(OF_SETTLEMENTS, OF_STRUCTURES)
        advance(sandbox, 8)
        self.recalculate(OF_SETTLEMENTS)

    def recalculate(self, *types: str, submit: Submit = len) -> None:
        for kind in types:
            self.handle([Followup(type=kind, campaign_id=CAMPAIGN, payload={})], submit)

    def handle(self, jobs: Sequence[Followup], submit: Submit) -> None:
        kind = type_named(jobs[0].type)
        kind.handle([Item(kind.parse(job.payload), self._run(job, submit)) for job in jobs])

    def _run(self, job: Followup, submit: Submit) -> Run:
        return Run(
            job_id=f"job-{job.payload}",
            campaign_id=CAMPAIGN,
            attempt=1,
            due_at=None,  # type: ignore[arg-type]
            api=self.api,
            schedules=DatabaseSchedules(),
            advances=DatabaseAdvances(),
            triggers=DatabaseTriggers(),
            submit=submit,
            clock_due=job.clock_due,
            occurrences=job.occurrences,
            interval=job.interval,
        )

    def change_structures(self, **changes: Any) -> None:
        for structure in STRUCTURES:
            self.sandbox.control("POST", "structures", {"id": structure, **changes})
        hear(self.sandbox, self.api)

    def fire_structures(self) -> list[Followup]:
        """The jobs of its structures."""
        found = Submitted()
        self.recalculate(OF_STRUCTURES, submit=found)
        return [one for one in found.jobs if one.payload.get("structureId") in STRUCTURES]


@pytest.fixture
def town(redis: Redis, api: MainApi, sandbox: SandboxApi) -> Town:
    return Town(api, sandbox)


def due_now(town: Town) -> Callable[[Submit], None]:
    ScheduleRow.objects.filter(entity_type="Structure").delete()
    return lambda submit: town.recalculate(OF_SETTLEMENTS, submit=submit)


def apply(town: Town) -> Callable[[Submit], None]:
    return partial(town.handle, town.fire_structures())


def archive(town: Town) -> Callable[[Submit], None]:
    jobs = town.fire_structures()
    town.change_structures(archivedAt="2026-01-01T00:00:00Z")
    return partial(town.handle, jobs)


def absent(town: Town) -> Callable[[Submit], None]:
    town.change_structures(archivedAt="2026-01-01T00:00:00Z")
    ScheduleRow.objects.filter(entity_id=STRUCTURES[0]).update(entity_id="no-such")
    return lambda submit: town.recalculate(OF_STRUCTURES, submit=submit)


def unreadable(town: Town) -> Callable[[Submit], None]:
    town.change_structures(level="one")
    return lambda submit: town.recalculate(OF_STRUCTURES, submit=submit)


@pytest.mark.parametrize("when", [due_now, apply, archive, absent, unreadable])
def test_growth_that_could_not_be_submitted_is_due_again(
    town: Town, when: Callable[[Town], Callable[[Submit], None]]
) -> None:
    """The database goes away when the town's jobs are submitted; its structures' job is tried again."""

    def lose(followups: Sequence[Followup]) -> int:
        if any(one.type == GROWTH for one in followups):
            raise OperationalError("server closed the connection unexpectedly")
        return len(followups)

    found, run = Submitted(), when(town)
    towns = ScheduleRow.objects.filter(entity_type="Settlement").order_by("id")
    before = list(towns.values("next_due", "fire_at"))
    with pytest.raises(OperationalError):
        run(lose)
    after = list(towns.values("next_due", "fire_at"))
    try:
        run(found)
    except JobError:
        assert when is unreadable

    assert after == before
    assert TOWN in {one.payload.get("settlementId") for one in found.jobs}


def test_a_row_that_is_refused_harms_no_other(town: Town) -> None:
    """Somebody has edited its payload: the town's other jobs are submitted, and the structures' schedules move."""
    ScheduleRow.objects.filter(entity_id=TOWN, event_type="LEVEL_UP_CHECK").update(payload={"settlementId": 7})
    jobs = town.fire_structures()
    submit = partial(service.submit_followups, actor="test", reason="due")
    town.handle(jobs, submit)

    grown = Job.objects.filter(type=GROWTH, subject__startswith=TOWN).values_list("subject", flat=True)
    assert sorted(grown) == [f"{TOWN}:POPULATION_GROWTH", f"{TOWN}:RESOURCE_GENERATION"]
    assert min(
        ScheduleRow.objects.filter(entity_id__in=STRUCTURES).values_list("next_due", flat=True)
    ) > clocks.world_time(CAMPAIGN)
