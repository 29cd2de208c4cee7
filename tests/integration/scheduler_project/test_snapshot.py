"""Reads of one moment, while others write."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections

from jobs.models import Job
from jobs.states import State
from scheduler_project.snapshot import snapshot
from tests.support.ledger import make_rows

pytestmark = pytest.mark.django_db(transaction=True)


def elsewhere(number: int) -> None:
    """Another connection adds jobs."""
    try:
        make_rows(State.DEAD, number)
    finally:
        connections.close_all()


def test_reads_see_one_moment_and_hold_up_no_writer() -> None:
    make_rows(State.DEAD, 2)

    with ThreadPoolExecutor(1) as pool, snapshot():
        first = Job.objects.count()
        pool.submit(elsewhere, 3).result(timeout=20)
        second = Job.objects.count()

    assert (first, second, Job.objects.count()) == (2, 2, 5)


def test_a_fault_leaves_the_connection_usable() -> None:
    def fail() -> None:
        with snapshot():
            Job.objects.count()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    make_rows(State.DEAD, 1)
    assert not connection.in_atomic_block
    assert Job.objects.count() == 1


@pytest.mark.django_db(transaction=False)
def test_within_a_transaction_it_is_that_one_s() -> None:
    make_rows(State.DEAD, 1)
    with snapshot():
        assert Job.objects.count() == 1
