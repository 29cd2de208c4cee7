"""Events expire in slices: each ends soon, none holds up another, and all expire."""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import service
from jobs.engine.worker import attempt
from jobs.errors import JobError, TransientError
from jobs.main_api.client import MainApi
from jobs.main_api.listing import Listing
from jobs.main_api.model import Event
from jobs.models import Job, new_job_id
from jobs.policies import policy_of
from jobs.registry import type_named
from jobs.run import Followup, Run
from jobs.schedules import store
from jobs.schedules.advances import DatabaseAdvances
from jobs.service import Submission
from jobs.slices import SlicedPayload
from jobs.triggers.store import DatabaseTriggers
from jobs.types import event_expiration
from jobs.types.event_expiration import MOST_CAMPAIGNS, MOST_EVENTS
from tests.support.servers import SandboxApi
from tests.support.slices import Sized, claim_oldest, lose, submit, work_off

pytestmark = pytest.mark.django_db(transaction=True)
EXPIRATION = "EVENT_EXPIRATION"
LATE = "9999-12-31T00:00:00Z"


def open_events(sandbox: SandboxApi) -> set[str]:
    """The events that are not completed."""
    return {i for i, event in sandbox.world()["events"].items() if not event["isCompleted"]}


def operations(sandbox: SandboxApi) -> Any:
    """How often each operation was asked for."""
    return sandbox.control("GET", "stats")["operations"]


@pytest.mark.parametrize("count", [0, 1, MOST_EVENTS, MOST_EVENTS + 1, 3000])
def test_overdue_events_of_one_campaign_expire_once(sized: Sized, count: int) -> None:
    """At most MOST_EVENTS in a job."""
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
def test_events_that_always_fail_delay_no_other(sized: Sized, failing: Sequence[int]) -> None:
    """They are named in the errors, and tried as often as their slices' attempts, no more."""
    sandbox = sized(events=1200)
    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "to": LATE})
    bad = {f"event-1-{n}" for n in failing if n <= 1200}
    sandbox.control("POST", "faults", {"failEventIds": sorted(bad)})
    submit(EXPIRATION)

    attempts = work_off()

    assert open_events(sandbox) == bad
    assert attempts <= 3 * policy_of(EXPIRATION).max_attempts
    assert Job.objects.filter(state="DEAD", error__contains="cannot be expired").exists()


class Killed(BaseException):
    """The worker is killed here."""


@pytest.mark.parametrize("after", [1, 2, 30, 51, 52])
def test_a_killed_slice_loses_nothing(sized: Sized, api: MainApi, after: int) -> None:
    """Killed after so many requests, before its end is recorded: each event expires once."""
    sandbox = sized(events=1200)
    sandbox.control("POST", "advance", {"campaignId": "campaign-1", "to": LATE})
    submit(EXPIRATION)
    (job,) = claim_oldest()
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


def test_a_campaign_with_very_many_events_delays_no_other(sized: Sized) -> None:
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
    """Whichever fail, and however old each list is: none is tried twice in a round or left out."""
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
        advances=DatabaseAdvances(),
        triggers=DatabaseTriggers(),
        submit=take,
        clock_due=None,
        occurrences=1,
        interval=None,
    )
    try:
        event_expiration.expire(payload, run)
    except TransientError as some_failed:
        assert "failed" in str(some_failed)  # noqa: PT017 - it may or may not be raised
