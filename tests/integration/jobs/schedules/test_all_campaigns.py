"""All campaigns are looked through with few requests; those that have changed get a job, and no other."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from django.utils import timezone

from jobs import pauses
from jobs.main_api.client import MainApi
from jobs.models import CampaignClock, Job, PauseKind, ScheduleRow
from jobs.schedules import all_campaigns
from jobs.states import State
from sandbox.dialect import DIALECTS
from tests.support.all_campaigns import KINDS, SETTLEMENTS, STRUCTURES, WORLD, look_through, see_all, types_by_campaign
from tests.support.environment import DIALECT
from tests.support.events import set_policy
from tests.support.servers import SandboxApi
from tests.support.slices import Sized, submit, work_off

pytestmark = pytest.mark.django_db(transaction=True)
LATER: Final = {"schedulerMarks": {"clock": "world", "POPULATION_GROWTH": "9999-01-01T00:00:00.000Z"}}


def settlement(n: int, **changes: Any) -> Callable[[SandboxApi], object]:
    return lambda sandbox: sandbox.control("POST", "settlements", {"id": f"settlement-{n}-1-1", **changes})


def structure(n: int, **changes: Any) -> Callable[[SandboxApi], object]:
    return lambda sandbox: sandbox.control("POST", "structures", {"id": f"structure-{n}-1-1-1", **changes})


def campaign(n: int, **changes: Any) -> Callable[[SandboxApi], object]:
    return lambda sandbox: sandbox.control("POST", "campaigns", {"id": f"campaign-{n}", **changes})


def new_settlement(n: int) -> Callable[[SandboxApi], object]:
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
    8: (new_settlement(8), {SETTLEMENTS}),
    9: (structure(9, variables={"maintenanceIntervalMinutes": 7}), {STRUCTURES}),
    10: (structure(10, archivedAt="1000-01-01T00:00:00.000Z"), {STRUCTURES}),
    11: (forget(11), {STRUCTURES}),
    12: (advance(12, minutes=1), set(KINDS)),
    13: (advance(13, minutes=6000), set(KINDS)),
    14: (campaign(14, isActive=False), set()),  # its schedules stay as they are
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

    assert types_by_campaign() == {}
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

    assert types_by_campaign() == {f"campaign-{n}": kinds for n, (_, kinds) in CHANGES.items() if kinds}
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

    assert types_by_campaign() == {"campaign-4": {SETTLEMENTS}}


def test_a_failed_recalculation_is_made_up_for(sized: Sized) -> None:
    """Until one has succeeded, the campaign's page says that it is a dead letter."""
    sized(campaigns=4, **WORLD)
    see_all()
    submit(SETTLEMENTS, "campaign-4")
    Job.objects.update(state=State.DEAD, finished_at=timezone.now())

    look_through()
    assert types_by_campaign() == {"campaign-4": {SETTLEMENTS}}

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

    assert types_by_campaign() == {f"campaign-{n}": set(KINDS) for n in (1, 2, 4)}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_event_that_a_policy_triggers_is_found(sized: Sized, dialect: str) -> None:
    """Until it has its job; then nothing more is done, with one request for all campaigns."""
    sandbox = sized(campaigns=6, events=4, **WORLD)
    speak(sandbox, dialect)
    see_all()
    set_policy("trigger")

    look_through()
    triggered = {f"campaign-{n}": set(KINDS) for n in (1, 4, 5, 6)}  # the others have no clock, or are inactive
    assert types_by_campaign() == triggered

    work_off(type__in=KINDS)
    Job.objects.filter(type__in=KINDS).delete()
    look_through()
    assert set(types_by_campaign()) <= set(triggered)
    assert not Job.objects.filter(type__in=KINDS).exclude(campaign_id="").exists()
