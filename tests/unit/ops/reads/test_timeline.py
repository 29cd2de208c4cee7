"""The timeline of a campaign: where its marks stand."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.models import ScheduleRow
from ops.reads.campaign import Row
from ops.reads.timeline import LANES, MARKS, draw_timeline

WINDOW = 72


def row(due_in: timedelta, interval: timedelta) -> Row:
    schedule = ScheduleRow(entity_name="Riverton", event_type="POPULATION_GROWTH", interval=interval)
    return Row(row=schedule, due_in=due_in, due=None)


@given(st.integers(-5_000, WINDOW * 60), st.integers(1, 2_000))
def test_every_due_time_is_drawn_at_its_own_place(due: int, every: int) -> None:
    """In minutes from now; an overdue row keeps its phase, and has one mark more at the beginning."""
    times = [minute for minute in range(due, WINDOW * 60 + 1, every) if minute >= 0]
    (lane,) = draw_timeline([row(timedelta(minutes=due), timedelta(minutes=every))], WINDOW).lanes

    assert lane.overdue is (due < 0)
    if len(times) > MARKS:
        assert lane.is_aggregated
        assert sum(int(mark.title.split()[0]) for mark in lane.marks) == len(times)
        assert max(mark.place for mark in lane.marks) > 95
        assert max(mark.height for mark in lane.marks) == 100
    else:
        marks = lane.marks[1:] if due < 0 else lane.marks
        assert [mark.place for mark in marks] == pytest.approx([minute / WINDOW / 0.6 for minute in times], abs=0.01)


@pytest.mark.parametrize(("rows", "left"), [(0, 0), (LANES, 0), (54, 54 - LANES)])
def test_rows_that_are_not_drawn_are_counted(rows: int, left: int) -> None:
    hour = timedelta(hours=1)
    drawn = draw_timeline([row(hour, hour) for _ in range(rows)], WINDOW)

    assert (len(drawn.lanes), drawn.left_out) == (min(rows, LANES), left)
