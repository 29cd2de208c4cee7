"""Jobs by state: exact, whatever the limit; and what large states cost."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import state_counts
from jobs.models import Job
from jobs.state_counts import ExactCounts
from jobs.states import State
from tests.support.ledger import make_rows
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_counts, "MOST_COUNTED", 3)


@pytest.mark.parametrize("number", [0, 1, 3, 4, 5, 9])
def test_the_first_count_is_exact_below_and_beyond_the_limit(number: int) -> None:
    make_rows(State.DEAD, number)
    make_rows(State.SCHEDULED, 1)

    counts = ExactCounts().read()

    assert (counts[State.DEAD], counts[State.SCHEDULED], counts[State.QUEUED]) == (number, 1, 0)


def test_what_is_counted_quickly_is_counted_each_time() -> None:
    counts = ExactCounts()
    make_rows(State.DEAD, 5)
    assert counts.read()[State.DEAD] == 5
    Job.objects.filter(state=State.DEAD)[0].delete()

    wait_until(lambda: counts.read()[State.DEAD] == 4, what="counted again, 20 times as late as a count takes")


def test_what_takes_long_is_counted_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the last number holds, and costs one query that reads indexes only."""
    monkeypatch.setattr(state_counts, "AT_ONCE_S", 0.0)
    counts = ExactCounts()
    make_rows(State.DEAD, 5)
    wait_until(lambda: counts.read()[State.DEAD] == 5, what="the first count")
    make_rows(State.DEAD, 5)

    with CaptureQueriesContext(connection) as asked:
        counts.read()

    (query,) = asked.captured_queries
    assert "LIMIT 4" in query["sql"]
    wait_until(lambda: counts.read()[State.DEAD] == 10, what="counted again")
