"""Work of any size is done in slices: each ends soon, nothing is done on the strength of an absence, all gets done."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from math import ceil
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import service
from jobs.engine.worker import attempt
from jobs.errors import JobError, OutcomeUnknown, TransientError
from jobs.ledger import Claimed
from jobs.main_api.client import MainApi
from jobs.main_api.listing import Listing
from jobs.main_api.model import Event
from jobs.models import CampaignClock, Job, ScheduleRow, new_job_id
from jobs.registry import type_named
from jobs.run import Followup, Run
from jobs.schedules import store
from jobs.schedules.recalculate import AT_ONCE, CAMPAIGNS, WINDOW
from jobs.service import Submission
from jobs.slices import SlicedPayload
from jobs.types import event_expiration, recalculate_settlement_schedules, recalculate_structure_schedules
from jobs.types.event_expiration import MOST_CAMPAIGNS, MOST_EVENTS
from sandbox.world import Size
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
EXPIRATION = "EVENT_EXPIRATION"
SETTLEMENTS, STRUCTURES = "RECALCULATE_SETTLEMENT_SCHEDULES", "RECALCULATE_STRUCTURE_SCHEDULES"
LATE = "9999-12-31T00:00:00Z"
Sized = Callable[..., SandboxApi]


@pytest.fixture
def sized(sandbox: SandboxApi, api: MainApi) -> Iterator[Sized]:
    """The sandbox with a world that has only so much of everything."""

    def size(**counts: int) -> SandboxApi:
        none = {"campaigns": 1, "kingdoms": 0, "settlements": 0, "structures": 0, "events": 0, "effects": 0}
        sandbox.control("POST", "reset", {**none, **counts})
        return sandbox

    yield size
    sandbox.control("POST", "reset", asdict(Size()))


def submit(kind: str, campaign_id: str = "campaign-1") -> Job:
    """A job as cron, listener and people submit it."""
    return service.submit(Submission(type=kind, campaign_id=campaign_id, payload={}), actor="test")[0]


def claimed(**which: Any) -> list[Claimed]:
    """The oldest job that is there to be done, claimed; whatever it waits for is over."""
    waiting = Job.objects.filter(state__in=["QUEUED", "SCHEDULED", "RETRYING"], **which).order_by("id")[:1]
    ids = list(waiting.values_list("id", flat=True))
    Job.objects.filter(id__in=ids).update(state="QUEUED")
    return attempt.claim([str(i) for i in ids], worker="w", now=timezone.now())


def work_off(**which: Any) -> int:
    """Do the jobs one after the other, and what follows from them; how many attempts that took."""
    attempts = 0
    while jobs := claimed(**which):
        attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")
        attempts += 1
    return attempts


def lose(job: Claimed) -> None:
    """The worker was killed: its attempt is one of unknown outcome, as the scheduler finds it."""
    ended = attempt.ending_of(job, OutcomeUnknown("worker w was lost"), 1.0, now=timezone.now())
    attempt.record([ended], actor="scheduler", worker="w")


def open_events(sandbox: SandboxApi) -> set[str]:
    """The events that are not completed."""
    return {i for i, event in sandbox.world()["events"].items() if not event["isCompleted"]}


def operations(sandbox: SandboxApi) -> Any:
    """How often each operation was asked for."""
    return sandbox.control("GET", "stats")["operations"]


@pytest.mark.parametrize("count", [0, 1, MOST_EVENTS, MOST_EVENTS + 1, 3000])
def test_overdue_events_of_one_campaign(sized: Sized, count: int) -> None:
    """All expire, each once, at most MOST_EVENTS in a job."""
    sandbox = sized(events=count)
    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "to": LATE})
    submit(EXPIRATION)

    jobs = work_off()

    assert not open_events(sandbox)
    assert operations(sandbox).get("expireEvent", 0) == count
    assert jobs == max(1, ceil(count / MOST_EVENTS))
    results: list[Any] = [job.result for job in Job.objects.order_by("id")]
    assert [r["expired"] <= MOST_EVENTS and r.get("restFollows", False) for r in results] == [True] * (jobs - 1) + [
        False
    ]


@pytest.mark.parametrize("failing", [range(1, 11), range(1, 1300, 100), range(1, 601)], ids=["head", "some", "half"])
def test_events_that_always_fail_hold_up_no_other(sized: Sized, failing: Sequence[int]) -> None:
    """They are named in the errors, and tried as often as their slices' attempts, no more."""
    sandbox = sized(events=1200)
    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "to": LATE})
    bad = {f"event-1-{n}" for n in failing if n <= 1200}
    sandbox.control("POST", "faults", {"failEventIds": sorted(bad)})
    submit(EXPIRATION)

    attempts = work_off()

    assert open_events(sandbox) == bad
    assert attempts <= 3 * type_named(EXPIRATION).retry.max_attempts
    assert Job.objects.filter(state="DEAD", error__contains="cannot be expired").exists()


class Killed(BaseException):
    """The worker is killed here."""


@pytest.mark.parametrize("after", [1, 2, 30, 51, 52])
def test_what_a_killed_slice_has_done_stays_done(sized: Sized, api: MainApi, after: int) -> None:
    """Killed after so many requests, the last of them before its end is recorded: each event expires once."""
    sandbox = sized(events=1200)
    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "to": LATE})
    submit(EXPIRATION)
    (job,) = claimed()
    calls = Counter[str]()

    def kill(call: Any) -> None:
        calls["all"] += 1
        if calls["all"] == after:
            raise Killed

    api.observers.append(kill)
    if after <= MOST_EVENTS // 10 + 1:
        with pytest.raises(Killed):
            attempt.run_handler([job])
    else:
        attempt.run_handler([job])  # its end is never recorded
    api.observers.remove(kill)
    lose(job)
    work_off()

    assert not open_events(sandbox)
    assert operations(sandbox)["expireEvent"] == 1200
    assert Job.objects.filter(subject__endswith=":1").count() == 1
    assert not Job.objects.exclude(state="SUCCEEDED").exists()


@pytest.mark.parametrize(("events", "requests", "jobs"), [(0, 201, 10), (1, 1203, 20)], ids=["quiet", "one each"])
def test_events_of_10_000_campaigns(sized: Sized, events: int, requests: int, jobs: int) -> None:
    """READ_BATCH campaigns a request, as before; a job looks at MOST_CAMPAIGNS or expires MOST_EVENTS."""
    sandbox = sized(campaigns=10_000, events=events)
    before = sandbox.control("GET", "stats")["requests"]
    submit(EXPIRATION, "")

    assert work_off() == jobs

    assert sandbox.control("GET", "stats")["requests"] - before == requests
    left = {i.split("-")[1] for i in open_events(sandbox)}
    assert left == ({"2", "3"} if events else set())  # on wall-clock time, and inactive
    results: list[Any] = list(Job.objects.values_list("result", flat=True))
    assert all(result["campaigns"] <= MOST_CAMPAIGNS for result in results)


def test_a_campaign_with_very_many_events_holds_up_no_other(sized: Sized) -> None:
    """Its rest is a job of its own, and the others are done beside it."""
    sandbox = sized(campaigns=120, events=1)
    for n in range(1100):
        at = f"1001-01-01T00:{n // 60:02d}:{n % 60:02d}Z"
        sandbox.control("POST", "events", {"id": f"many-{n}", "campaignId": "campaign-1", "scheduledAt": at})
    submit(EXPIRATION, "")
    work_off(campaign_id="")

    assert {i for i in open_events(sandbox) if not i.startswith("many-")} == {"event-1-1", "event-2-1", "event-3-1"}
    assert work_off() == 2
    assert open_events(sandbox) == {"event-2-1", "event-3-1"}


class _Lists:
    """A main API whose list of overdue events may come out of a cache, and some of whose events always fail."""

    def __init__(self, count: int, failing: set[int], stale: list[bool]) -> None:
        self.tried: Counter[str] = Counter()
        self._stale = iter(stale)
        self._failing = {event_id(n) for n in failing}
        self._events = [
            Event(id=event_id(n), campaign_id="c", name=f"E{n}", event_type="story", is_completed=False)
            for n in range(count)
        ]
        self._cached = list(self._events)

    def overdue_events(self, campaign_ids: Sequence[str]) -> dict[str, Listing[Event] | JobError]:
        """What is overdue, or was when it was cached."""
        if not next(self._stale, False):
            self._cached = [e for e in self._events if e.id in self._failing or not self.tried[e.id]]
        return {campaign_ids[0]: Listing(self._cached)}

    def expire_events(self, events: Sequence[Event], *, key: str) -> dict[str, JobError | None]:
        """Some fail."""
        self.tried.update(event.id for event in events)
        return {event.id: TransientError("no") if event.id in self._failing else None for event in events}


def event_id(n: int) -> str:
    """Many of them cannot be stored: the payload of the next slice names them all the same."""
    return [f"e{n}", f"e{n}\0", f"e{n}\ud83c", f"e{n}" * 300][n % 4]


@given(
    count=st.integers(0, 60),
    failing=st.sets(st.integers(0, 59)),
    most=st.integers(1, 25),
    stale=st.lists(st.booleans(), max_size=70),
)
def test_every_event_is_tried_and_the_slices_end(count: int, failing: set[int], most: int, stale: list[bool]) -> None:
    """Whichever fail, and however old each list is: none is tried twice by the same round, and none is left out."""
    lists = _Lists(count, failing, stale)
    pending: list[Followup] = [Followup(type=EXPIRATION, campaign_id="c", payload={})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_expiration, "MOST_EVENTS", most)
        for _ in range(count + 2):
            if not pending:
                break
            payload = type_named(EXPIRATION).parse(pending.pop().payload)
            assert isinstance(payload, SlicedPayload)
            _expire(lists, payload, pending)

    assert not pending
    assert lists.tried == Counter(map(event_id, range(count)))


def _expire(lists: Any, payload: SlicedPayload, pending: list[Followup]) -> None:
    def take(followups: Sequence[Followup]) -> int:
        for followup in followups:
            service.check(Submission(type=EXPIRATION, campaign_id="c", payload=followup.payload))
        pending.extend(followups)
        return len(followups)

    run = Run(
        job_id=str(new_job_id()),
        campaign_id="c",
        attempt=1,
        due_at=timezone.now(),
        api=lists,
        schedules=store.DatabaseSchedules(),
        submit=take,
        clock_due=None,
        occurrences=1,
        interval=None,
    )
    try:
        event_expiration.expire(payload, run)
    except TransientError as some_failed:
        assert "failed" in str(some_failed)  # noqa: PT017 - it may or may not be raised


def test_10_000_campaigns_are_recalculated_over_a_while(sized: Sized) -> None:
    """A few at once, the others spread; a retry of any slice makes no job a second time."""
    sized(campaigns=10_000)
    submit(SETTLEMENTS, "")
    while jobs := claimed(campaign_id=""):
        attempt.run_handler(jobs)  # done, and killed before that is recorded
        lose(jobs[0])
        again = claimed(id=jobs[0].id)
        attempt.record(attempt.run_handler(again), actor="worker:w", worker="w")

    ours = Job.objects.exclude(campaign_id="")
    assert ours.count() == ours.values("campaign_id").distinct().count() == 9_999  # one is inactive
    assert Job.objects.filter(campaign_id="").count() == 1 + ceil((9_999 - AT_ONCE) / CAMPAIGNS)
    seconds = Counter(due.replace(microsecond=0) for due in ours.values_list("due_at", flat=True))
    assert max(seconds.values()) <= AT_ONCE + 2 * CAMPAIGNS / WINDOW.total_seconds()
    assert len(seconds) > 400


def rows(kind: str) -> set[tuple[str, str, str]]:
    """The schedule rows of settlements or structures."""
    found = ScheduleRow.objects.filter(entity_type=kind)
    return set(found.values_list("entity_id", "event_type", "next_due"))


def small_slices(patch: pytest.MonkeyPatch, settlements: int, part: int) -> None:
    """Let slices be so small."""
    for module, name in (
        (recalculate_settlement_schedules, "_SETTLEMENTS"),
        (recalculate_structure_schedules, "_STRUCTURES"),
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
def test_slices_of_any_size_come_to_the_same_rows(
    sized: Sized, monkeypatch: pytest.MonkeyPatch, kind: str, entity: str, settlements: int, part: int
) -> None:
    """Three kingdoms of seven settlements with two structures each; what is gone goes, what is only missing stays."""
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
def test_nothing_is_removed_where_something_could_not_be_read(
    sized: Sized, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Neither a list that fails nor the single read that was to confirm it costs a row."""
    sandbox = sized(kingdoms=2, settlements=2)
    submit(SETTLEMENTS)
    work_off()
    row("gone-1")
    before = rows("Settlement")
    sandbox.control("POST", "faults", {"graphqlErrorRate": 1, "operations": [failing]})

    submit(SETTLEMENTS)
    small_slices(monkeypatch, 1, 1)
    jobs = claimed()
    attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")

    assert rows("Settlement") == before
    sandbox.control("DELETE", "faults")
    work_off()
    submit(SETTLEMENTS)
    work_off()
    assert {r[0] for r in before} - {r[0] for r in rows("Settlement")} == {"gone-1"}


def test_a_kingdom_that_cannot_be_read_costs_itself_only(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others get their rows, its own stay, and it is named."""
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


def test_rows_of_campaigns_that_are_gone_or_inactive_are_cleared(sized: Sized, api: MainApi) -> None:
    """Each is asked for singly: the one that the list merely lacks keeps its rows."""
    sandbox = sized(campaigns=4, kingdoms=1, settlements=1)
    for campaign_id in ("campaign-2", "campaign-3", "campaign-4", "no-such"):
        CampaignClock.objects.create(campaign_id=campaign_id)
        row(f"of-{campaign_id}", campaign_id=campaign_id)
    sandbox.control("POST", "campaigns", {"id": "campaign-4", "isActive": False})

    submit(SETTLEMENTS, "")
    work_off()

    assert set(ScheduleRow.objects.values_list("campaign_id", flat=True)) == {"campaign-1", "campaign-2"}
    inactive = CampaignClock.objects.filter(is_active=False).values_list("pk", flat=True)
    assert set(inactive) == {"campaign-3", "campaign-4", "no-such"}


def test_a_campaign_that_the_list_lacks_keeps_its_rows(sized: Sized, monkeypatch: pytest.MonkeyPatch) -> None:
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
