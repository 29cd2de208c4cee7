"""What the sandbox measures of its clients, and its limited capacity."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.load import Load


@given(st.lists(st.floats(0, 1, width=16), max_size=60))
def test_the_most_in_any_second_is_counted(pauses: list[float]) -> None:
    load, now, began = Load(), 0.0, []
    for pause in pauses:
        now += pause
        began.append(now)
        load.begin(now)
        load.end()

    windows = [sum(first <= at < first + 1 for at in began) for first in began]
    assert load.most_in_a_second == max(windows, default=0)
    assert load.most_in_flight == min(1, len(pauses))


@given(st.integers(1, 5), st.lists(st.integers(0, 8), max_size=60))
def test_a_server_works_on_so_many_requests_at_a_time(servers: int, pauses: list[int]) -> None:
    """Each is worked on for 4 s, in the order of arrival."""
    load, now, ends = Load(), 0, []
    for pause in pauses:
        now += pause
        ends.append(now + load.delay(now, 4, servers))

    assert ends == sorted(ends)
    for end in ends:
        assert sum(end - 4 <= other - 4 < end for other in ends) <= servers
