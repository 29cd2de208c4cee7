"""The ticker on a real database: each step has one job, whoever looks and whatever dies."""

from datetime import timedelta
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from redis import Redis

from jobs import pauses, service
from jobs.engine.scheduler.scheduler import Scheduler
from jobs.models import CampaignClock, Job, WorldClock
from jobs.states import State
from jobs.world_clocks import control, ticker
from tests.support import world_clocks
from tests.support.dialects import let_time_move
from tests.support.stops import submit_at
from tests.support.working import work
from tests.support.world_clocks import due, last_job, settings, start_running, steps

pytestmark = pytest.mark.django_db(transaction=True)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def end_last_step(state: State = State.SUCCEEDED, error: str = "") -> None:
    """As a worker would."""
    Job.objects.filter(pk=last_job().pk).update(state=state, error=error)


def test_a_due_step_is_submitted_once(redis: Redis) -> None:
    """By its number; the next one is a step later. Before it is due, nothing is."""
    clock = start_running()
    at = due(clock)

    assert [ticker.fire_due(at - SECOND), ticker.fire_due(at), ticker.fire_due(at)] == [0, 1, 0]
    after = world_clocks.of()
    assert (after.steps, after.step_seconds, after.moved, due(after)) == (1, 3600, 3600, at + MINUTE)
    job = last_job()
    assert (job.type, job.state, job.source) == ("ADVANCE_WORLD_TIME", State.QUEUED, "world-clock")
    assert job.payload == {"bySeconds": 3600, "cause": f"world-clock:{clock.key.hex}:1"}
    assert job.audit_trail.get().reason == "step 1 of the world clock at 60 x"


def test_two_schedulers_at_once_make_one_step(redis: Redis) -> None:
    """Both have read the clock as due; the one that gets its row later finds the step made."""
    at, barrier, made = due(start_running()), Barrier(2), []

    def schedule() -> None:
        barrier.wait(30)
        try:
            made.append(ticker.fire_due(at))
        finally:
            connections.close_all()

    threads = [Thread(target=schedule) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(made) == [0, 1]
    assert steps() == [3600]


def test_a_scheduler_that_reads_before_and_writes_after_another_makes_nothing(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its view of the clock is of another step, although more steps are due."""
    clock = start_running(catch_up="step")
    at = due(clock) + 5 * MINUTE
    find = ticker.find_reasons

    def overtaken(clocks: Any, now: Any) -> Any:
        """Between reading and writing."""
        monkeypatch.setattr(ticker, "find_reasons", find)
        ticker.fire_due(at)
        return {}

    monkeypatch.setattr(ticker, "find_reasons", overtaken)

    assert ticker.fire_due(at) == 0
    assert steps() == [3600]


def test_a_scheduler_that_dies_within_a_step_has_done_nothing(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job and the clock's position are one transaction: the next scheduler makes the step."""
    at, submit = due(start_running()), service.submit

    def submit_and_die(*args: Any, **kwargs: Any) -> Any:
        """Before the commit."""
        submit(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "submit", submit_and_die)
    with pytest.raises(KeyboardInterrupt):
        ticker.fire_due(at)
    monkeypatch.undo()

    assert (steps(), due(world_clocks.of())) == ([], at)
    assert ticker.fire_due(at + SECOND) == 1
    assert steps() == [3600]


def test_a_step_waits_for_the_one_before(redis: Redis) -> None:
    """Without a word for a minute; then it says so. What a skipping clock waited for is lost."""
    at = due(start_running())
    ticker.fire_due(at)
    silent = [ticker.fire_due(at + MINUTE + wait * SECOND) for wait in (0, 59)]
    quiet = world_clocks.of().waits
    ticker.fire_due(at + 3 * MINUTE)
    waiting = world_clocks.of()
    end_last_step()
    ticker.fire_due(at + 3 * MINUTE + SECOND)
    after = world_clocks.of()

    assert (silent, quiet) == ([0, 0], False)
    assert (waiting.waits, waiting.problem) == (True, "step 1 has not ended yet: its job is QUEUED")
    assert (after.waits, steps(), due(after)) == (False, [3600], at + 4 * MINUTE + SECOND)
    assert "time was skipped" in after.problem


@pytest.mark.parametrize(("catch_up", "expected"), [("jump", [3600, 7200]), ("step", [3600] * 6)])
def test_an_outage_is_made_up_for(redis: Redis, catch_up: str, expected: list[int]) -> None:
    """By one step within its limit, or step by step."""
    at = due(start_running(catch_up=catch_up))
    ticker.fire_due(at)
    end_last_step()
    for _ in range(9):
        ticker.fire_due(at + 5 * MINUTE)
        end_last_step()

    assert steps() == expected
    assert due(world_clocks.of()) == at + 6 * MINUTE


def test_a_failed_step_holds_the_clock_until_somebody_decides(redis: Redis) -> None:
    """Its page says why; a discarded step is gone, and the clock goes on."""
    at = due(start_running(catch_up="step"))
    ticker.fire_due(at)
    end_last_step(State.DEAD, "HTTP 500")
    ticker.fire_due(at + MINUTE)
    held = world_clocks.of()
    service.discard([last_job()], actor="user:ann", reason="not that hour")
    ticker.fire_due(at + MINUTE)

    assert held.waits
    assert held.problem == "step 1 failed, so the clock waits until its job is retried or discarded: HTTP 500"
    assert steps() == [3600, 3600]
    assert not world_clocks.of().waits


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"is_active": False}, "the campaign is inactive"),
        ({"world_time": ""}, "the campaign has no world time"),
        (None, "campaign Northmarch (c-1) is paused by ann until resumed (no game)"),
    ],
    ids=str,
)
def test_a_campaign_that_takes_no_step_gets_none(redis: Redis, change: dict[str, Any] | None, problem: str) -> None:
    """No jobs pile up; the reason is written once, and another clock goes on."""
    clock, other = start_running(), start_running("c-2")
    if change is None:
        pauses.pause("campaign", "c-1", actor="user:ann", reason="no game")
    else:
        CampaignClock.objects.filter(pk="c-1").update(**change)
    for wait in range(3):
        ticker.fire_due(max(due(clock), due(other)) + wait * SECOND)

    held = world_clocks.of()
    assert (steps(), steps("c-2")) == ([], [3600])
    assert held.waits
    assert held.problem.startswith(problem)
    assert held.problem_at == max(due(clock), due(other))


def test_a_clock_waits_while_the_world_stands_at_a_stop(redis: Redis) -> None:
    """Silently for a minute, as it does for a step. It goes on once the stop's job has ended."""
    clock, other = start_running(), start_running("c-2")
    job, at = submit_at("1001-06-01T11:00:00Z", campaign_id="c-1"), due(other)
    ticker.fire_due(at)
    silent = world_clocks.of().problem
    ticker.fire_due(at + 2 * MINUTE)
    held = world_clocks.of()
    Job.objects.filter(pk=job.pk).update(state=State.SKIPPED)
    ticker.fire_due(at + 2 * MINUTE)

    assert (silent, held.waits, held.next_at, steps("c-2")) == ("", True, due(clock), [3600])
    assert (
        held.problem
        == f"the world stands at 1001-06-01T11:00:00.000Z until its job has ended: DEFERRED_EFFECT {job.pk}"
    )
    assert not world_clocks.of().waits


def test_a_round_that_takes_too_long_ends_and_the_next_goes_on(redis: Redis) -> None:
    """The scheduler comes back at once for the steps that are left. A clock that waits is asked for last, or not."""
    ids = ["c-1", "c-2", "c-3"]
    at = max(due(start_running(campaign_id)) for campaign_id in ids)
    CampaignClock.objects.filter(pk="c-1").update(is_active=False)
    ticker.fire_due(at, most_s=0)
    left = ticker.next_step(at)
    rounds = [ticker.fire_due(at, most_s=0) for _ in ids]
    later = ticker.next_step(at)
    CampaignClock.objects.update(is_active=True)

    assert left is not None
    assert later is not None
    assert left <= at < later
    assert (rounds, steps("c-2"), steps("c-3")) == ([1, 1, 0], [3600], [3600])
    assert [ticker.fire_due(at, waiting=waiting) for waiting in (False, True)] == [0, 1]


def test_a_row_that_was_edited_holds_up_only_itself(redis: Redis) -> None:
    clock, other = start_running(), start_running("c-2")
    WorldClock.objects.filter(pk="c-1").update(time_zone="Mars/Base")
    ticker.fire_due(max(due(clock), due(other)))

    assert steps("c-2") == [3600]
    assert "there is no time zone" in world_clocks.of().problem


def test_slow_clocks_make_no_empty_jobs(redis: Redis) -> None:
    """A step of less than a second moves with the next."""
    at = due(start_running(rate=Decimal("0.01"), step=60))
    assert [ticker.fire_due(at + n * MINUTE) for n in range(2)] == [0, 1]
    assert (steps(), world_clocks.of().owed) == ([1], 200_000_000)


def test_the_scheduler_makes_steps_on_time(redis: Redis) -> None:
    """Its next look is at the next step; a clock that waits does not keep it awake."""
    at = due(start_running(step=10))
    scheduler = Scheduler(connection=redis)
    scheduler.fire(at)
    assert steps() == [600]
    assert scheduler.fire_at <= at + 10 * SECOND

    scheduler.fire_at = at
    with CaptureQueriesContext(connection) as queries:
        scheduler.fire(at + 30 * SECOND)
    assert steps() == [600]
    assert scheduler.fire_at >= at + 31 * SECOND
    assert sum("worldclock" in query["sql"] for query in queries) <= 2


def test_a_new_rate_counts_from_now(redis: Redis) -> None:
    """The half minute before at the old one; a paused clock earns nothing."""
    clock = start_running()
    start = due(clock) - MINUTE
    WorldClock.objects.update(counted_until=start - MINUTE / 2)
    control.configure("c-1", settings(rate=Decimal(120), most_per_step=10_000), actor="test")
    owed = world_clocks.of().owed
    ticker.fire_due(due(world_clocks.of()))

    assert 1800 * 10**9 <= owed < 1900 * 10**9
    assert steps() == [7200 + owed // 10**9]


def test_a_worker_moves_the_campaign_by_the_step(redis: Redis, sandbox: Any) -> None:
    """Twice, relative to what the clock shows then."""
    let_time_move(sandbox)
    clock = start_running("campaign-1")
    for n in range(2):
        ticker.fire_due(due(clock) + n * MINUTE)
        work(redis)
    assert sandbox.world()["campaigns"]["campaign-1"]["currentWorldTime"] == "1001-06-01T14:00:00.000Z"


def test_a_clock_goes_on_after_the_machine_s_clock_was_years_ahead(redis: Redis) -> None:
    """It has counted real time up to 2031; it counts anew at the next look, says so, and steps as ever."""
    now = due(start_running())
    ahead = now + timedelta(days=5 * 365)
    assert ticker.fire_due(ahead) == 0  # missed, by its own clock
    assert due(world_clocks.of()) > ahead
    assert ticker.fire_due(now) == 0
    after = world_clocks.of()

    assert due(after) == now + MINUTE
    assert "the machine's clock was ahead" in after.problem
    assert ticker.fire_due(due(after)) == 1
    assert steps() == [3600]
