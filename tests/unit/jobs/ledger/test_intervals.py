"""Intervals of any length are stored to the microsecond."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.ledger import moves
from jobs.models import Job, ScheduleRow
from jobs.schedules import rows
from jobs.states import State
from jobs.world.variables import LEAST_MINUTES, MOST_MINUTES
from tests.support.examples import examples

pytestmark = pytest.mark.django_db
TICK = timedelta(microseconds=1)
MOST = timedelta(minutes=MOST_MINUTES)
intervals = st.timedeltas(timedelta(minutes=LEAST_MINUTES), MOST)


@given(intervals, intervals, intervals)
@example(MOST, MOST * 0.9 + TICK, MOST - TICK)
@examples(20)
def test_a_schedule_keeps_its_interval(first: timedelta, second: timedelta, third: timedelta) -> None:
    """When it is made, moved and changed."""
    ScheduleRow.objects.all().delete()
    rows.add([ScheduleRow(campaign_id="c", entity_type="Settlement", entity_id="s", event_type="E", interval=first)])
    stored = []
    for write, following in ((rows.save_dates, second), (rows.save, third)):
        (row,) = rows.rows_of(["s"])
        stored.append(row.interval)
        row.interval = following
        write([row])

    assert [*stored, ScheduleRow.objects.get().interval] == [first, second, third]


@given(intervals)
@example(MOST * 0.9 + TICK)
@examples(20)
def test_a_job_keeps_its_interval(interval: timedelta) -> None:
    """In its row, and for the worker that claims it."""
    Job.objects.all().delete()
    now = timezone.now()
    job = Job(type="X", unique_key="x", state=State.QUEUED, due_at=now, source="test", interval=interval)
    moves.create_many([job], actor="test", reason="")

    _, (claimed,) = moves.cycle([], [str(job.pk)], actor="worker:w", worker="w", now=now)

    assert (Job.objects.get().interval, claimed.interval) == (interval, interval)
