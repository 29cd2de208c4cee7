"""All campaigns are looked through with few requests; those that have changed get a job, and no other."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone

from jobs import pauses, stops
from jobs.engine.worker import attempt
from jobs.errors import CircuitOpen, JobError, NoPermit, Outage, TransientError
from jobs.main_api.client import MainApi
from jobs.models import CampaignClock, Job, PauseKind, ScheduleRow, WorldStop, new_job_id
from jobs.schedules import all_campaigns
from jobs.states import State
from sandbox.dialect import DIALECTS
from tests.support.environment import DIALECT
from tests.support.events import set_policy
from tests.support.servers import SandboxApi
from tests.support.slices import Sized, claimed, submit, work_off

pytestmark = pytest.mark.django_db(transaction=True)
SETTLEMENTS, STRUCTURES = KINDS = ("RECALCULATE_SETTLEMENT_SCHEDULES", "RECALCULATE_STRUCTURE_SCHEDULES")
WORLD: Final = {"kingdoms": 1, "settlements": 2, "structures": 2}
LATER: Final = {"schedulerMarks": {"clock": "world", "POPULATION_GROWTH": "9999-01-01T00:00:00.000Z"}}


def settlement(n: int, **changes: Any) -> Callable[[SandboxApi], object]:
    return lambda sandbox: sandbox.control("POST", "settlements", {"id": f"settlement-{n}-1-1", **changes})


def structure(n: int, **changes: Any) -> Callable[[SandboxApi], object]:
    return lambda sandbox: sandbox.control("POST", "structures", {"id": f"structure-{n}-1-1-1", **changes})


def campaign(n: int, **changes: Any) -> Callable[[SandboxApi], object]:
    return lambda sandbox: sandbox.control("POST", "campaigns", {"id": f"campaign-{n}", **changes})


def found(n: int) -> Callable[[SandboxApi], object]:
    """A settlement that was not there."""
    new = {"kingdomId": f"kingdom-{n}-1", "name": "New", "level": 1, "variables": {}, "version": 1, "archivedAt": None}
    return settlement(n, id=f"settlement-{n}-new", **new)


def forget(n: int) -> Callable[[SandboxApi], object]:
    """A structure of which the service has not heard."""
    return lambda _: ScheduleRow.objects.filter(entity_id=f"structure-{n}-1-1-1").delete()


def advance(n: int, **changes: Any) -> Callable[[SandboxApi], object]:
    return lambda sandbox: sandbox.control("POST", "advance", {"campaignId": f"campaign-{n}", **changes})


#: What happens to campaigns while no message is heard, by their number, and the types whose jobs it brings.
CHANGES: Final[dict[int, tuple[Callable[[SandboxApi], object], set[str]]]] = {
    4: (settlement(4, level=5), {SETTLEMENTS}),
    5: (settlement(5, variables={"populationGrowthIntervalMinutes": 7}), {SETTLEMENTS}),
    6: (settlement(6, variables=LATER), {SETTLEMENTS}),
    7: (settlement(7, archivedAt="1000-01-01T00:00:00.000Z"), set(KINDS)),
    8: (found(8), {SETTLEMENTS}),
    9: (structure(9, variables={"maintenanceIntervalMinutes": 7}), {STRUCTURES}),
    10: (structure(10, archivedAt="1000-01-01T00:00:00.000Z"), {STRUCTURES}),
    11: (forget(11), {STRUCTURES}),
    12: (advance(12, minutes=1), set(KINDS)),
    13: (advance(13, minutes=6000), set(KINDS)),
    14: (campaign(14, isActive=False), set(KINDS)),
    15: (campaign(15, currentWorldTime=None), set(KINDS)),
    16: (lambda _: pauses.pause(PauseKind.CAMPAIGN, "campaign-16", actor="user:ann", reason="x"), set(KINDS)),
    17: (settlement(17, variables={"population": 7}), set()),  # nothing is due at another time
    18: (lambda _: CampaignClock.objects.filter(pk="campaign-18").update(processed_world_time=""), set(KINDS)),
}
CAMPAIGNS: Final = 20


def speak(sandbox: SandboxApi, dialect: str, *, old_lists: bool = True) -> None:
    """Let the sandbox be as it is served today, or keep the contract; `sized` lets it be as at its start."""
    points = DIALECTS[dialect] if old_lists else DIALECTS[dialect] - {17}
    sandbox.control("POST", "dialect", {"points": sorted(points)})


def see_all() -> None:
    """Recalculate every campaign for the first time, and let the listener have processed their clocks."""
    for kind in KINDS:
        submit(kind, "")
    work_off()
    CampaignClock.objects.update(processed_world_time=F("world_time"))
    Job.objects.all().delete()


def look_through() -> list[dict[str, Any]]:
    """Look through all campaigns once; the campaigns' own jobs are left. Returns the results."""
    for kind in KINDS:
        submit(kind, "")
    while jobs := claimed(campaign_id=""):
        attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")
    every = Job.objects.filter(campaign_id="").order_by("id")
    assert {job.state for job in every} == {State.SUCCEEDED}, [job.error for job in every]
    return [job.result for job in every if job.result]


def submitted() -> dict[str, set[str]]:
    """The types of the campaigns' own jobs."""
    jobs: dict[str, set[str]] = {}
    for campaign_id, kind in Job.objects.exclude(campaign_id="").values_list("campaign_id", "type"):
        jobs.setdefault(campaign_id, set()).add(kind)
    return jobs


def rows() -> set[tuple[Any, ...]]:
    columns = ("campaign_id", "entity_id", "event_type", "clock", "anchor", "interval", "next_due", "fire_at")
    return set(ScheduleRow.objects.values_list(*columns))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_where_nothing_has_changed_there_is_no_job(sized: Sized, dialect: str) -> None:
    """No row is written, and fifty campaigns are read in one request."""
    sandbox = sized(campaigns=53, **WORLD)
    speak(sandbox, dialect)
    see_all()
    before = set(ScheduleRow.objects.values_list("pk", "updated_at"))
    requests = sandbox.control("GET", "stats")["requests"]

    results = look_through()

    assert submitted() == {}
    counts = sorted((one["campaigns"], one["unchanged"], one["submitted"]) for one in results)
    assert counts == [(2, 2, 0), (2, 2, 0), (50, 50, 0), (50, 50, 0)]
    assert set(ScheduleRow.objects.values_list("pk", "updated_at")) == before
    assert sandbox.control("GET", "stats")["requests"] - requests <= 20  # of 52 campaigns; there were 364


def test_nothing_that_has_changed_is_skipped_although_no_message_was_heard(sized: Sized) -> None:
    """Each change brings the jobs of its campaign and no other; then the schedules are as if all were recalculated.

    As served today, a list may be 10 minutes old: what it lacks is seen in the next round.
    """
    sandbox = sized(campaigns=CAMPAIGNS, **WORLD)
    speak(sandbox, DIALECT, old_lists=False)
    see_all()
    for change, _ in CHANGES.values():
        change(sandbox)

    look_through()

    assert submitted() == {f"campaign-{n}": kinds for n, (_, kinds) in CHANGES.items() if kinds}
    work_off(type__in=KINDS)
    after = rows()
    for n in range(1, CAMPAIGNS + 1):
        for kind in KINDS:
            submit(kind, f"campaign-{n}")
    work_off(type__in=KINDS)
    assert rows() == after


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_change_that_was_heard_is_seen_although_lists_are_old(sized: Sized, api: MainApi, dialect: str) -> None:
    """Its message told the version: the settlement is read alone."""
    sandbox = sized(campaigns=4, **WORLD)
    speak(sandbox, dialect)
    see_all()
    settlement(4, level=5)(sandbox)
    api.versions.note({"settlement-4-1-1": sandbox.world()["settlements"]["settlement-4-1-1"]["version"]})

    look_through()

    assert submitted() == {"campaign-4": {SETTLEMENTS}}


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
    while jobs := claimed(campaign_id=""):
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
        if not (jobs := claimed(campaign_id="")):
            break
        attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")
    return list(Job.objects.filter(campaign_id="").order_by("id"))


def run_once(kind: str) -> list[Job]:
    """One attempt at the job for all campaigns; all jobs are returned."""
    submit(kind, "")
    attempt.record(attempt.run_handler(claimed(campaign_id="")), actor="worker:w", worker="w")
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
    assert set(submitted()) <= {"campaign-2"}  # which has no clock


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
    assert submitted() == {"campaign-5": kinds}


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

    assert submitted() == {f"campaign-{n}": set(KINDS) for n in (2, 4)} or submitted() == {
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


def test_a_failed_recalculation_is_made_up_for(sized: Sized) -> None:
    """Until one has succeeded, the campaign's page says that it is a dead letter."""
    sized(campaigns=4, **WORLD)
    see_all()
    submit(SETTLEMENTS, "campaign-4")
    Job.objects.update(state=State.DEAD, finished_at=timezone.now())

    look_through()
    assert submitted() == {"campaign-4": {SETTLEMENTS}}

    assert Job.objects.exclude(campaign_id="").count() == 2
    work_off()
    look_through()
    assert Job.objects.exclude(campaign_id="").count() == 2


def test_a_large_campaign_is_left_to_its_own_job(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fills requests by itself."""
    sized(campaigns=4, **WORLD)
    see_all()
    monkeypatch.setattr(all_campaigns, "LARGE", 1)

    look_through()

    assert submitted() == {f"campaign-{n}": set(KINDS) for n in (1, 2, 4)}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_event_that_a_policy_triggers_is_found(sized: Sized, dialect: str) -> None:
    """Until it has its job; then nothing more is done, with one request for all campaigns."""
    sandbox = sized(campaigns=6, events=4, **WORLD)
    speak(sandbox, dialect)
    see_all()
    set_policy("trigger")

    look_through()
    triggered = {f"campaign-{n}": set(KINDS) for n in (1, 4, 5, 6)}  # the others have no clock, or are inactive
    assert submitted() == triggered

    work_off(type__in=KINDS)
    Job.objects.filter(type__in=KINDS).delete()
    look_through()
    assert set(submitted()) <= set(triggered)
    assert not Job.objects.filter(type__in=KINDS).exclude(campaign_id="").exists()
