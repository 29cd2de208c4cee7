"""When world clocks are polled."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.clock_poll import MOST_INTERVALS, SHARE, ClockPoll
from jobs.main_api.model import Campaign
from tests.support.examples import examples


def campaign(name: str = "c", time: str | None = "1001-06-01T12:00:00Z", *, active: bool = True) -> Campaign:
    return Campaign(id=name, name=name, is_active=active, current_world_time=time)


def test_nobody_is_asked_about_while_nobody_is_active() -> None:
    """Until the clocks were read otherwise, and found one that can move."""
    poll = ClockPoll(5)
    assert not poll.is_due(10_000)

    poll.read([campaign(active=False), campaign("wall", None)], 0)
    assert not poll.is_due(10_000)

    poll.read([campaign()], 0)
    assert not poll.is_due(9.9)
    assert poll.is_due(10)
    assert not ClockPoll(0).is_due(10_000)


def test_what_has_moved_is_told_once() -> None:
    """A clock that is new counts as moved; one that stands still does not."""
    poll = ClockPoll(5)
    later = campaign("b", "1001-06-02T12:00:00Z")

    assert set(poll.read([campaign("a"), campaign("b")], 0)) == {"a", "b"}
    assert poll.read([campaign("a"), campaign("b")], 5) == {}
    assert poll.read([campaign("a"), later], 15) == {"b": later}


@examples(80)
@given(moves=st.lists(st.sampled_from(["moved", "told", "still", "failed"]), max_size=30))
def test_pauses_grow_while_polls_tell_nothing_new(moves: list[str]) -> None:
    """Each twice the one before, to a minute for five seconds; a move that no message told brings back the shortest."""
    poll, now, expected, year = ClockPoll(5), 0.0, 10.0, 2000
    poll.read([campaign(time=f"{year}-01-01T00:00:00Z")], now)
    for move in moves:
        now += expected
        assert poll.is_due(now)
        if move == "failed":
            poll.postpone(now)
        else:
            year += move in ("moved", "told")
            poll.read([campaign(time=f"{year}-01-01T00:00:00Z")], now)
        if move == "moved":
            poll.hasten(now)
        expected = 5.0 if move == "moved" else min(2 * expected, MOST_INTERVALS * 5.0)
        assert not poll.is_due(now + expected - 0.1)


def test_polls_take_a_small_share_of_the_main_api_s_time() -> None:
    """A list that takes a second is asked for every 20 s, whatever it tells."""
    poll = ClockPoll(5)

    poll.read([campaign()], 100, took_s=1.0)
    poll.hasten(100)

    assert not poll.is_due(100 + 1 / SHARE - 0.1)
    assert poll.is_due(100 + 1 / SHARE)
