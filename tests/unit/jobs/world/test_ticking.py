"""World clocks: however often one is looked at, it moves what real time has earned, and never more."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from jobs.world import ticking
from jobs.world.quiet_hours import QuietHours, parse_ranges
from jobs.world.ticking import CatchUpPolicy, Lost, Position, Rule, Tick
from tests.support.clocks import rules, starts

NS = 10**9
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTES = Rule(
    rate=Decimal(60),
    step=timedelta(minutes=1),
    most_per_step=7200,
    most_per_day=360_000,
    quiet=QuietHours(ZoneInfo("UTC")),
)
#: How long until a clock is looked at again, in thousandths of its step.
waits = st.lists(st.integers(1, 5_000), max_size=30)


def poll(rule: Rule, start: datetime, milli: list[int]) -> tuple[list[tuple[datetime, Tick]], Position]:
    """The ticks of looking at a clock again and again, with when; its position at the end."""
    position, now, ticks = ticking.begin(start), start, []
    for wait in milli:
        now += rule.step * wait / 1000
        tick = ticking.tick(rule, position, now)
        position = tick.position
        ticks.append((now, tick))
    return ticks, position


@given(rules(), starts, waits)
def test_what_is_moved_is_what_was_earned(rule: Rule, start: datetime, milli: list[int]) -> None:
    """Up to the last step, to the nanosecond; nothing is lost but what SKIP gives up."""
    ticks, position = poll(rule, start, milli)
    moved = sum(tick.seconds for _, tick in ticks)
    earned = rule.earn(rule.quiet.open_time(start, position.counted_until))

    if any(tick.lost for _, tick in ticks):
        assert rule.catch_up is CatchUpPolicy.SKIP
        assert moved * NS + position.owed < earned
    else:
        assert (moved, position.owed) == divmod(earned, NS)


@given(rules(limited=True), starts, waits)
def test_limits_and_quiet_hours_hold(rule: Rule, start: datetime, milli: list[int]) -> None:
    """Per step, and per day of the zone; nothing in quiet hours."""
    ticks, position = poll(rule, start, milli)
    by_day = Counter[date]()
    for now, tick in ticks:
        by_day[rule.quiet.day_of(now)] += tick.seconds
        assert 0 <= tick.seconds <= rule.most_per_step
        assert not (tick.seconds and rule.quiet.is_quiet(now))
        assert not rule.quiet.is_quiet(tick.next_at)

    assert max(by_day.values(), default=0) <= rule.most_per_day
    earned = rule.earn(rule.quiet.open_time(start, max(position.counted_until, start)))
    assert sum(by_day.values()) * NS + position.owed <= earned


@given(rules(), starts, st.integers(1, 3_000))
def test_a_clock_is_due_when_it_says(rule: Rule, start: datetime, milli: int) -> None:
    """A millisecond before, nothing is counted; then a step is."""
    position = ticking.begin(start + rule.step * milli / 1000)
    due = ticking.next_tick(rule, position)
    early = ticking.tick(rule, position, due - timedelta(milliseconds=1))

    assert early.seconds == 0
    assert early.next_at == due
    assert ticking.tick(rule, position, due).position.counted_until > position.counted_until


@given(rules(), rules(), starts, st.integers(0, 999), st.integers(0, 999))
def test_a_new_rate_counts_from_its_moment(old: Rule, new: Rule, start: datetime, before: int, after: int) -> None:
    """What was earned at the old one is kept, to the nanosecond."""
    position, changed = ticking.begin(start), ticking.begin(start + old.step * before / 1000).counted_until
    settled = ticking.settle(old, position, changed)
    end = changed + new.step * (1000 + after) / 1000
    tick = ticking.tick(replace(new, quiet=old.quiet), settled, end)

    at_old = old.earn(old.quiet.open_time(start, changed))
    at_new = new.earn(old.quiet.open_time(changed, max(tick.position.counted_until, changed)))
    assert settled.owed == at_old
    assert tick.lost or tick.seconds * NS + tick.position.owed == at_old + at_new


def after_outage(rule: Rule) -> list[Tick]:
    """The ticks after ten minutes without a scheduler, until nothing is due."""
    now = START + timedelta(minutes=10, seconds=30)
    ticks = [ticking.tick(rule, ticking.begin(START), now)]
    while ticks[-1].next_at <= now:
        ticks.append(ticking.tick(rule, ticks[-1].position, now))
    return ticks


def test_skip_goes_on_from_now() -> None:
    (tick,) = after_outage(replace(MINUTES, catch_up=CatchUpPolicy.SKIP))

    assert (tick.seconds, tick.lost) == (0, Lost.MISSED)
    assert tick.next_at == START + timedelta(minutes=11, seconds=30)


def test_jump_makes_one_step_within_its_limit() -> None:
    """What is beyond the limit is given up."""
    (whole,) = after_outage(replace(MINUTES, catch_up=CatchUpPolicy.JUMP, most_per_step=36_000))
    (cut,) = after_outage(replace(MINUTES, catch_up=CatchUpPolicy.JUMP))

    assert (whole.seconds, whole.lost, whole.next_at) == (36_000, None, START + timedelta(minutes=11))
    assert (cut.seconds, cut.lost, cut.position.owed) == (7200, Lost.STEP_LIMIT, 0)


def test_step_makes_the_missed_steps_in_turn() -> None:
    ticks = after_outage(replace(MINUTES, catch_up=CatchUpPolicy.STEP))

    assert [tick.seconds for tick in ticks] == [3600] * 10
    assert ticks[-1].next_at == START + timedelta(minutes=11)


def test_a_day_that_has_its_limit_earns_nothing_more() -> None:
    """The clock stands until the zone's next day; then it begins with nothing owed."""
    rule = replace(MINUTES, most_per_day=5000, quiet=QuietHours(ZoneInfo("Europe/Berlin"), parse_ranges("00:00-01:00")))
    first = ticking.tick(rule, ticking.begin(START), START + timedelta(minutes=1))
    second = ticking.tick(rule, first.position, START + timedelta(minutes=2))
    next_day = ticking.tick(rule, second.position, second.next_at)

    assert [(one.seconds, one.lost) for one in (first, second, next_day)] == [
        (3600, None),
        (1400, Lost.DAY_LIMIT),
        (3600, None),
    ]
    assert second.next_at == datetime(2026, 1, 2, 0, 1, tzinfo=UTC)  # 01:01 in Berlin
    assert next_day.position.moved == 3600


def test_a_step_that_never_began_is_owed_again() -> None:
    """It counts for its day no more; the next step moves both."""
    first = ticking.tick(MINUTES, ticking.begin(START), START + timedelta(minutes=1))
    back = ticking.give_back(first.position, first.seconds, first.position.day)
    second = ticking.tick(MINUTES, ticking.begin(START + timedelta(hours=1), back), START + timedelta(minutes=61))

    assert (second.seconds, second.position.moved) == (7200, 7200)


def test_steps_of_less_than_a_second_are_joined() -> None:
    """After an outage: of ten steps of 0.3 seconds the first four move one second, the next three another."""
    ticks = after_outage(replace(MINUTES, catch_up=CatchUpPolicy.STEP, rate=Decimal("0.005")))

    assert [tick.seconds for tick in ticks] == [1, 1, 1]
    assert ticks[-1].position.owed == 0


@given(rules(), starts, st.integers(0, 3_000), st.integers(1, 40))
def test_a_clock_that_was_years_ahead_does_not_stand_still(rule: Rule, start: datetime, days: int, steps: int) -> None:
    """Once the machine's clock is right again: it goes on as a clock that begins now, with what it was owed."""
    ahead = ticking.begin(start + timedelta(days=days), Position(counted_until=start, owed=7))
    tick = ticking.tick(rule, ahead, start)
    again = ticking.begin(start, ahead)

    if ahead.counted_until > rule.quiet.next_day(start):
        assert tick == Tick(0, again, ticking.next_tick(rule, again), Lost.CLOCK_AHEAD)
    assert tick.position.counted_until <= rule.quiet.next_day(start)
    if days > 1:
        later = ticking.next_tick(rule, again)
        assert ticking.tick(rule, tick.position, later) == ticking.tick(rule, again, later)
