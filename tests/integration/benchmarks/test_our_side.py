"""A benchmark does not count jobs that failed."""

import pytest

from benchmarks.drained import BenchmarkFailed
from benchmarks.our_side import finished
from jobs.models import Job
from jobs.states import State
from tests.support.ledger import make_rows

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("state", [State.RETRYING, State.DEAD])
def test_a_job_that_failed_ends_the_run(state: State) -> None:
    make_rows(state, 1)
    Job.objects.update(error="settlement-1 is gone")
    with pytest.raises(BenchmarkFailed, match="settlement-1 is gone"):
        finished()
