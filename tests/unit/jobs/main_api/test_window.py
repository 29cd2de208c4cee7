"""The window of requests in flight."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.main_api.window import FEW, FEWEST, LEARNED_FROM, LEAST_QUIET_S, Window

MOST: Final = 10
QUIET_S: Final = 0.125  #: with a power of two times add up exactly
seconds = st.floats(0.001, 30, allow_nan=False)
events = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), seconds, st.integers(1, 40), st.sampled_from(["read", "batch"])),
        st.tuples(st.just("refusal"), seconds, st.just(1), st.just("")),
        st.tuples(st.just("pause"), seconds, st.just(1), st.just("")),
    ),
    max_size=200,
)


def full_window() -> tuple[Window, float]:
    """A window that knows the quiet median and has grown to its most, and the time."""
    window, now = Window(MOST, now=0.0), 0.0
    for _ in range(2 * MOST):
        now += QUIET_S
        window.note_answer("read", QUIET_S, in_flight=1, began=now - QUIET_S, now=now)
    assert window.size(now) == MOST
    return window, now


def answer(window: Window, now: float, took: float, times: int, *, kind: str = "read", in_flight: int = MOST) -> int:
    """So many answers at once, to requests that began after everything before. Returns how often it was halved."""
    ends = now + took
    return sum(window.note_answer(kind, took, in_flight=in_flight, began=now, now=ends) for _ in range(times))


@given(st.integers(1, 50), events)
def test_the_window_respects_its_bounds(most: int, happens: list[tuple[str, float, int, str]]) -> None:
    """Between 1 and `most`; halved at most once in a round trip; grown by one a second."""
    window, now = Window(most, now=0.0), 0.0
    halved_at = float("-inf")
    for what, took, in_flight, kind in happens:
        before, began = window.size(now), now
        now += took
        grown = window.size(now)
        assert before <= grown <= min(most, before + int(took) + 1)
        halved = False
        if what == "answer":
            halved = window.note_answer(kind, took, in_flight=in_flight, began=began, now=now)
        elif what == "refusal":
            halved = window.note_refusal(began=began, now=now)
        if halved:
            assert began > halved_at
            assert window.size(now) == max(1, grown // 2)
            halved_at = now
        assert 1 <= window.size(now) <= most


@given(st.floats(0.0005, 5), st.lists(st.floats(0.6, 1.8), min_size=50, max_size=200), st.sampled_from([1, 2, MOST]))
def test_a_steady_main_api_does_not_halve_the_window(latency: float, noise: list[float], in_flight: int) -> None:
    """Nor does one whose answers scatter."""
    window, now = Window(MOST, now=0.0), 0.0
    for factor in noise:
        now += latency * factor
        assert not window.note_answer("read", latency * factor, in_flight=in_flight, began=now, now=now)
    assert window.size(now) == MOST


def test_a_halved_window_grows_by_one_a_second() -> None:
    """However few requests there are."""
    window, now = full_window()

    assert window.note_refusal(began=now, now=now + 1)
    assert [window.size(now + 1 + passed) for passed in range(MOST // 2 + 1)] == [5, 6, 7, 8, 9, 10]


def test_answers_three_times_as_slow_halve_the_window_once_in_a_round_trip() -> None:
    """The rest of those that were in flight say nothing more; the next ones that are slow do."""
    window, now = full_window()

    assert answer(window, now, 3.1 * QUIET_S, MOST) == 1
    assert window.size(now + 3.1 * QUIET_S) == MOST // 2
    assert answer(window, now + 1, 3.1 * QUIET_S, MOST) == 1
    assert answer(full_window()[0], now, 2.9 * QUIET_S, 10 * MOST) == 0


def test_a_few_slow_answers_do_not_halve_the_window() -> None:
    """A kind with two speeds is no sign of load: half of them cached, half not."""
    window, now = full_window()
    for _ in range(200):
        now += 1
        assert answer(window, now, 6 * QUIET_S, 1) + answer(window, now + 1, QUIET_S, 1) == 0


def test_a_slow_first_answer_is_not_the_quiet_median() -> None:
    """It took long: connecting, loading."""
    window = Window(MOST, now=0.0)
    for position in range(LEARNED_FROM + 2):
        answer(window, position, 5.0 if position == 0 else QUIET_S, 1, in_flight=1)

    assert window.quiet_median("read") == pytest.approx(QUIET_S)


def test_kinds_are_compared_with_themselves() -> None:
    """A batch of fifty is not slow because single reads are fast."""
    window, now = full_window()

    for position in range(40):
        assert answer(window, now + position, 20 * QUIET_S, 1, kind="batch") == 0
        assert answer(window, now + position + 0.5, QUIET_S, 1) == 0
    assert answer(window, now + 50, 61 * QUIET_S, MOST, kind="batch") == 1


def test_noise_of_milliseconds_is_no_load() -> None:
    window, now = Window(MOST, now=0.0), 0.0
    for _ in range(MOST):
        answer(window, now, 0.001, 1, in_flight=1)

    assert answer(window, now + 1, 2.9 * LEAST_QUIET_S, 10 * MOST) == 0


def test_a_permanently_slower_main_api_is_used_fully_again() -> None:
    """Ten times as slow: halved until few are in flight, which gives the new quiet median."""
    window, now = full_window()
    slow = 10 * QUIET_S
    smallest = MOST
    while now < 60:
        size = window.size(now)
        smallest = min(smallest, size)
        answer(window, now, slow, size, in_flight=size)
        now += slow + 0.001

    assert smallest <= MOST // 4
    assert window.size(now) == MOST
    assert window.quiet_median("read") == pytest.approx(slow)


def test_a_queue_at_the_main_api_stays_short() -> None:
    """A server that answers one request after another: three times the quiet time, not ten."""
    window, now = full_window()
    sizes = []
    for _ in range(300):
        size = window.size(now)
        sizes.append(size)
        answer(window, now, size * QUIET_S, max(size, FEWEST), in_flight=size)
        now += size * QUIET_S + 0.001

    assert max(sizes[50:]) <= 3 * FEW
