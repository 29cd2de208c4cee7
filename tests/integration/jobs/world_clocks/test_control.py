"""Operators' actions on world clocks: at once, audited, and clear about the step under way."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.engine.worker import attempt
from jobs.errors import CircuitOpen, InvalidWorldClock, NotBegun, Refused, StateConflict
from jobs.models import CampaignClock, Job, OperatorAction, WorldClock
from jobs.states import State
from jobs.world_clocks import control, ticker
from tests.support import world_clocks
from tests.support.ledger import last_reason
from tests.support.working import work
from tests.support.world_clocks import due, last_job, settings, start_running, steps

pytestmark = pytest.mark.django_db(transaction=True)
MINUTE = timedelta(minutes=1)
NS = 10**9


def with_step(**changes: Any) -> Job:
    """The job of the first step of a clock."""
    ticker.fire_due(due(start_running(**changes)))
    return last_job()


def test_a_clock_is_off_until_somebody_starts_it(redis: Redis) -> None:
    """Setting its rate does not start it."""
    CampaignClock.objects.create(pk="c-1", name="Northmarch", world_time="1001-06-01T12:00:00.000Z")
    control.configure("c-1", settings(), actor="user:ann")
    off = world_clocks.of()
    text = control.start("c-1", actor="user:ann", reason="the game is on")

    assert (off.state, off.next_at) == ("off", None)
    assert text == "The world clock of Northmarch runs, 60 x: a day in 24 min. Its first step is due in 1 min."
    changed, started = OperatorAction.objects.order_by("id")
    assert changed.changes
    assert changed.changes["most_per_step"] == [None, "2 h"]
    assert (started.verb, started.target, started.reason) == (
        "started",
        "world clock of campaign Northmarch",
        "the game is on",
    )


def test_pausing_cancels_a_step_that_has_not_begun(redis: Redis) -> None:
    """Its time is moved with the first step after resuming, and counts for its day only then."""
    job = with_step()
    text = control.pause("c-1", actor="user:olga", reason="stop!")
    job.refresh_from_db()
    paused = world_clocks.of()

    assert text == "The world clock of Northmarch is paused. Step 1 of 1 h had not begun and is cancelled."
    assert (job.state, last_reason(job)) == (State.CANCELLED, "world clock paused: stop!")
    assert (paused.state, paused.reason, paused.moved, paused.next_at) == ("paused", "stop!", 0, None)
    assert paused.owed // NS == 3600

    control.resume("c-1", actor="user:olga")
    ticker.fire_due(due(world_clocks.of()))
    assert steps() == [3600, 7200]


def test_a_step_that_was_taken_back_moves_nothing_when_it_is_retried(redis: Redis, sandbox: Any) -> None:
    """Its hour is owed again, once: neither a retry nor another pause while it waits moves or owes it twice."""
    ticker.fire_due(due(start_running("campaign-1")))
    control.pause("campaign-1", actor="user:olga")
    service.retry([last_job("campaign-1")], actor="user:ann", reason="all cancelled jobs")
    control.resume("campaign-1", actor="user:olga")
    again = control.pause("campaign-1", actor="user:olga")
    work(redis)
    step = last_job("campaign-1")

    assert again.endswith("is paused.")
    assert step.state == State.SKIPPED
    assert 3600 <= world_clocks.of("campaign-1").owed // NS < 7200
    assert sandbox.world()["campaigns"]["campaign-1"]["currentWorldTime"] == "1001-06-01T12:00:00.000Z"


@pytest.mark.parametrize("claim", [NotBegun("handed back"), CircuitOpen(timezone.now())])
def test_a_step_that_was_claimed_and_not_attempted_is_taken_back_once(
    redis: Redis, sandbox: Any, claim: Exception
) -> None:
    """It was handed back, or had to wait: it is owed again, so that a retry must not move its time."""
    ticker.fire_due(due(start_running("campaign-1")))
    (claimed,) = attempt.claim([str(last_job("campaign-1").pk)], worker="w", now=timezone.now())
    attempt.record([attempt.ending_of(claimed, claim, 0.0, now=timezone.now())], actor="worker:w")
    text = control.pause("campaign-1", actor="user:olga")
    service.retry([last_job("campaign-1")], actor="user:ann", reason="all cancelled jobs")
    work(redis)

    assert text.endswith("Step 1 of 1 h had not begun and is cancelled.")
    assert last_job("campaign-1").state == State.SKIPPED
    assert world_clocks.of("campaign-1").owed // NS >= 3600
    assert sandbox.world()["campaigns"]["campaign-1"]["currentWorldTime"] == "1001-06-01T12:00:00.000Z"


def test_pausing_lets_a_step_end_that_has_begun(redis: Redis) -> None:
    """And says so; nothing is owed for it."""
    job = with_step()
    attempt.claim([str(job.pk)], worker="w", now=job.due_at)
    text = control.pause("c-1", actor="user:olga")

    assert text == "The world clock of Northmarch is paused. Step 1 is running and will finish."
    assert (world_clocks.of().owed // NS, world_clocks.of().moved) == (0, 3600)


def test_a_step_that_may_have_moved_time_is_not_owed_again(redis: Redis) -> None:
    """It waits for another attempt: it is cancelled, and its time is not moved twice."""
    job = with_step()
    Job.objects.filter(pk=job.pk).update(state=State.RETRYING, attempt=1)
    text = control.pause("c-1", actor="user:olga")

    assert text.endswith("Step 1 is cancelled after 1 attempt, which may have moved time.")
    assert Job.objects.get(pk=job.pk).state == State.CANCELLED
    assert world_clocks.of().owed // NS == 0


def test_a_clock_that_is_switched_off_owes_nothing(redis: Redis) -> None:
    with_step()
    text = control.stop("c-1", actor="user:ann")

    assert text.endswith("Time that it accrued is given up.")
    assert (world_clocks.of().state, world_clocks.of().owed) == ("off", 0)


def test_all_clocks_are_paused_at_once(redis: Redis) -> None:
    """Those that do not run are left alone."""
    for campaign_id in ("c-1", "c-2", "c-3"):
        start_running(campaign_id)
    control.stop("c-3", actor="test")
    sentences = control.pause_all(actor="user:olga", reason="wrong world")

    assert len(sentences) == 2
    assert list(WorldClock.objects.values_list("state", flat=True)) == ["paused", "paused", "off"]
    assert control.pause_all(actor="user:olga") == []
    assert ticker.fire_due(world_clocks.of().since + timedelta(days=1)) == 0


@pytest.mark.parametrize(
    ("action", "state", "text"),
    [
        (control.pause, "paused", "is already paused"),
        (control.pause, "off", "is already off"),
        (control.resume, "running", "is already running"),
        (control.resume, "off", "is off. Start it first"),
        (control.start, "running", "is already running"),
        (control.stop, "off", "is already off"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(redis: Redis, action: Any, state: str, text: str) -> None:
    """Only a clock that is on is resumed, so that nobody starts what no administrator has."""
    start_running()
    WorldClock.objects.update(state=state)
    with pytest.raises(StateConflict, match=text):
        action("c-1", actor="test")

    assert world_clocks.of().state == state


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rate": Decimal(0)}, "rate"),
        ({"rate": Decimal("0.0000001")}, "rate"),
        ({"rate": Decimal(1_000_001)}, "rate"),
        ({"step": 9}, "step"),
        ({"step": 86_401}, "step"),
        ({"rate": Decimal("59.99"), "most_per_step": 3599}, "most_per_step"),
        ({"rate": Decimal("0.01"), "most_per_day": 0}, "most_per_day"),
        ({"most_per_day": 3599}, "most_per_day"),
        ({"most_per_day": 10**12}, "most_per_day"),
        ({"quiet_hours": "22-8"}, "quiet_hours"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"catch_up": "all"}, "catch_up"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_by_their_field(redis: Redis, changes: dict[str, Any], field: str) -> None:
    """Nothing changes."""
    start_running()
    with pytest.raises(InvalidWorldClock) as caught:
        control.configure("c-1", settings(**changes), actor="test")

    assert caught.value.field == field
    assert world_clocks.of().rate == 60


def test_a_clock_that_is_started_in_vain_says_so(redis: Redis) -> None:
    """It waits from the beginning, and makes its step once nothing holds it up."""
    start_running()
    control.stop("c-1", actor="test")
    CampaignClock.objects.update(is_active=False)
    text = control.start("c-1", actor="user:ann")
    held = world_clocks.of()
    CampaignClock.objects.update(is_active=True)

    assert text == ("The world clock of Northmarch is on, 60 x: a day in 24 min, but waits: the campaign is inactive.")
    assert (held.waits, held.problem) == (True, "the campaign is inactive")
    assert ticker.fire_due(due(held)) == 1
    assert not world_clocks.of().waits


@pytest.mark.parametrize("campaign_id", ["wall", "unknown", "never-set"])
def test_a_clock_needs_a_campaign_on_world_time(redis: Redis, campaign_id: str) -> None:
    CampaignClock.objects.create(pk="never-set", world_time="1001-06-01T12:00:00.000Z")
    if campaign_id == "wall":
        CampaignClock.objects.create(pk="wall")
        control.configure("wall", settings(), actor="test")
    with pytest.raises(Refused, match=r"world time|no campaign|set its rate"):
        control.start(campaign_id, actor="test")


def test_the_same_settings_change_nothing(redis: Redis) -> None:
    """And leave no trace."""
    clock = start_running()
    before = OperatorAction.objects.count()

    assert not control.configure("c-1", settings(), actor="test")
    assert (OperatorAction.objects.count(), due(world_clocks.of())) == (before, due(clock))


def test_a_row_that_was_edited_can_be_paused_and_corrected(redis: Redis) -> None:
    """Whatever is wrong with it, nobody has to wait for it; it cannot be started as it is."""
    start_running()
    WorldClock.objects.update(time_zone="Mars/Base")
    control.pause("c-1", actor="test")
    with pytest.raises(InvalidWorldClock, match="there is no time zone"):
        control.resume("c-1", actor="test")
    assert control.configure("c-1", settings(), actor="test")
    control.resume("c-1", actor="test")
    WorldClock.objects.update(quiet_hours="always")
    assert control.configure("c-1", settings(), actor="test")

    assert world_clocks.of().state == "running"
