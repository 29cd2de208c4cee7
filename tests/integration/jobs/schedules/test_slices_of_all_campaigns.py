"""All campaigns are looked at, slice by slice, however slow, limited or odd the main API's answers are."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from django.db import OperationalError
from django.utils import timezone

from jobs import stops
from jobs.engine.worker import attempt
from jobs.errors import CircuitOpen, JobError, NoPermit, Outage, TransientError
from jobs.main_api.client import MainApi
from jobs.models import Job, WorldStop, new_job_id
from jobs.schedules import all_campaigns
from jobs.states import State
from tests.support.all_campaigns import KINDS, SETTLEMENTS, STRUCTURES, WORLD, look_through, see_all, types_by_campaign
from tests.support.slices import Sized, claim_oldest, submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("time_limit", "slices"),
    [(60, [1, 6, 6, 6, 3]), (0, [1, 5, 5, 5, 5, 1])],  # a quarter each; as many as fit into the time, but one request
)
def test_slices_follow_one_another_until_all_are_looked_at(
    sized: Sized, monkeypatch: pytest.MonkeyPatch, settings: Any, time_limit: float, slices: list[int]
) -> None:
    """Every 10 s, and so many campaigns each that there are not too many slices; each campaign once."""
    sized(campaigns=23)  # one is inactive
    settings.JOB_TIMEOUT = timedelta(seconds=time_limit)
    for name, number in (("AT_ONCE", 1), ("CAMPAIGNS", 2), ("MOST_SLICES", 4), ("READ_BATCH", 5)):
        monkeypatch.setattr(all_campaigns, name, number)

    submit(SETTLEMENTS, "")
    while jobs := claim_oldest(campaign_id=""):
        attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")

    every = list(Job.objects.filter(campaign_id="").order_by("id"))
    assert [job.result["campaigns"] for job in every if job.result] == slices
    assert {later.due_at - job.due_at for job, later in pairwise(every[1:])} == {all_campaigns.WINDOW}
    own = Job.objects.exclude(campaign_id="")
    assert own.count() == own.values("campaign_id").distinct().count() == 21  # and one has no clock


READS: Final = ("campaigns_by_id", "kingdoms_by_campaign", "settlements_by_kingdom", "structures_by_settlement")


def before_each_read(monkeypatch: pytest.MonkeyPatch, do: Callable[[Sequence[str]], JobError | None]) -> None:
    """Call `do` with the IDs that are to be read; an error it returns is the answer for each."""

    def replace(name: str) -> None:
        ask = getattr(MainApi, name)

        def read(api: MainApi, ids: Sequence[str]) -> Any:
            error = do(ids)
            return dict.fromkeys(ids, error) if error else ask(api, ids)

        monkeypatch.setattr(MainApi, name, read)

    for name in READS:
        replace(name)


class SlowClock:
    """A clock that moves while the main API is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def run_all(kind: str, *, before: Callable[[], object]) -> list[Job]:
    """Do the jobs for all campaigns one after the other, for at most 40 attempts; they are returned in order."""
    submit(kind, "")
    for _ in range(40):
        before()
        if not (jobs := claim_oldest(campaign_id="")):
            break
        attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")
    return list(Job.objects.filter(campaign_id="").order_by("id"))


def run_once(kind: str) -> list[Job]:
    """One attempt at the job for all campaigns; all jobs are returned."""
    submit(kind, "")
    attempt.record(attempt.run_handler(claim_oldest(campaign_id="")), actor="worker:w", worker="w")
    return list(Job.objects.order_by("id"))


def test_a_slow_main_api_and_many_settlements_hold_up_no_campaign(
    sized: Sized, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Whatever is not read when the time is spent is left to its own job, within the job's time limit."""
    sized(campaigns=10, kingdoms=1, settlements=30)
    settings.JOB_TIMEOUT = timedelta(seconds=60)
    see_all()
    clock = SlowClock()
    monkeypatch.setattr("jobs.slices.time", clock)
    began: list[float] = []

    def take_long(ids: Sequence[str]) -> None:
        clock.now += 0.3 * len(ids)
        if clock.now - began[-1] > 60:
            raise Outage("ran longer than its limit")

    before_each_read(monkeypatch, take_long)
    every = run_all(STRUCTURES, before=lambda: began.append(clock.now))

    assert {job.state for job in every} == {State.SUCCEEDED}, [job.error for job in every]
    results = [job.result for job in every if job.result]
    assert sum(one["campaigns"] for one in results) == 9  # one is inactive
    assert 0 < sum(one["unchanged"] for one in results) < 9
    assert sum(one["unchanged"] + one["submitted"] for one in results) == 9


def test_campaigns_with_many_settlements_are_read_in_small_parts(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next part begins with the first campaign that was not read; none is left out or gets a job for that."""
    sized(campaigns=10, kingdoms=4, settlements=1)
    see_all()
    monkeypatch.setattr(all_campaigns, "MOST_SETTLEMENTS", 5)
    monkeypatch.setattr(all_campaigns, "READ_BATCH", 9)  # kingdoms, too: of two campaigns and a part of the third
    asked: list[int] = []
    before_each_read(monkeypatch, lambda ids: asked.append(len(ids)))

    (job,) = run_all(SETTLEMENTS, before=lambda: None)

    assert job.result == {"campaigns": 9, "unchanged": 9, "submitted": 0}
    assert max(asked) == 9
    assert len(asked) == 3 * 5  # two campaigns each, and the last


@pytest.mark.parametrize("permits", [8, 30])
def test_a_limit_of_requests_holds_up_no_campaign(sized: Sized, monkeypatch: pytest.MonkeyPatch, permits: int) -> None:
    """What was done before the job must wait stays done; where it never gets on, it reads fewer campaigns together."""
    sized(campaigns=10, **WORLD)
    see_all()
    monkeypatch.setattr(all_campaigns, "READ_BATCH", 4)
    left = [0]

    def take(ids: Sequence[str]) -> JobError | None:
        left[0] -= len(ids)
        return NoPermit("no room", timezone.now()) if left[0] < 0 else None

    before_each_read(monkeypatch, take)
    every = run_all(STRUCTURES, before=lambda: left.__setitem__(0, permits))

    assert {job.state for job in every} == {State.SUCCEEDED}, [job.error for job in every]
    assert sum(job.result["campaigns"] for job in every if job.result) == 9  # one is inactive
    assert set(types_by_campaign()) <= {"campaign-2"}  # which has no clock


@pytest.mark.parametrize(
    ("method", "bad"),
    [
        ("campaigns_by_id", "campaign-5"),
        ("kingdoms_by_campaign", "campaign-5"),
        ("settlements_by_kingdom", "kingdom-5-1"),
        ("structures_by_settlement", "settlement-5-1-1"),
    ],
)
def test_what_cannot_be_read_is_left_to_its_own_job(
    sized: Sized, monkeypatch: pytest.MonkeyPatch, method: str, bad: str
) -> None:
    """It costs no other campaign anything."""
    sized(campaigns=6, **WORLD)
    see_all()
    ask = getattr(MainApi, method)

    def broken(api: MainApi, ids: Sequence[str]) -> Any:
        return ask(api, ids) | {one: TransientError("broken") for one in ids if one == bad}

    monkeypatch.setattr(MainApi, method, broken)
    look_through()

    kinds = {STRUCTURES} if method == "structures_by_settlement" else set(KINDS)
    assert types_by_campaign() == {"campaign-5": kinds}


def test_no_campaign_is_looked_at_after_an_error_that_stops_all(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    """The breaker is open: the job waits, and no campaign gets one of its own."""
    sized(campaigns=6, **WORLD)
    see_all()
    error = CircuitOpen(timezone.now())
    monkeypatch.setattr(MainApi, "kingdoms_by_campaign", lambda _api, ids: dict.fromkeys(ids, error))

    (job,) = run_once(SETTLEMENTS)

    assert job.state == State.RETRYING


def test_an_odd_row_costs_those_only_that_are_read_together(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them gets its own job, and the others are compared."""
    sized(campaigns=9, **WORLD)
    see_all()
    monkeypatch.setattr(all_campaigns, "READ_BATCH", 2)  # 1; 2, 4; 5, 6; 7, 8; 9
    WorldStop.objects.create(campaign_id="campaign-4", at="soon", job_id=new_job_id())

    results = look_through()

    assert types_by_campaign() == {f"campaign-{n}": set(KINDS) for n in (2, 4)} or types_by_campaign() == {
        f"campaign-{n}": set(KINDS) for n in (4, 5)
    }
    assert [one["campaigns"] for one in results] == [8, 8]


def test_an_outage_of_the_database_costs_no_campaign_a_job(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job itself waits."""
    sized(campaigns=3, **WORLD)
    see_all()

    def away(_readings: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(stops, "effective_readings", away)
    (job, *others) = run_once(SETTLEMENTS)

    assert (job.state, others) == (State.RETRYING, [])
