"""The recorder: no end is lost because of another, or of its own texts."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from django.utils import timezone
from redis import Redis

from jobs.broker import keys
from jobs.engine.worker import attempt
from jobs.engine.worker.cycle import Cycles
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.models import Job
from tests.support.effects import claim
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cycles(redis: Redis) -> Iterator[Cycles]:
    """The cycles of a worker without threads."""
    cycles = Cycles("w", RQMirror("w", ["normal"], keys.own_redis()), redis, run_foreign=print, wake_main=print)
    yield cycles
    cycles.stop()


def test_an_end_that_the_database_rejects_is_recorded_without_its_texts(cycles: Cycles) -> None:
    """It costs no other end of its batch anything: all three jobs have succeeded."""
    jobs = submit(3)
    endings = [attempt.ending_of(claim(job), None, 1.0, now=timezone.now()) for job in jobs]
    rejected: Any = json.dumps({"entity": "\ud83c"}, ensure_ascii=False)
    endings[1] = msgspec.structs.replace(endings[1], result=rejected)
    for ending in endings:
        cycles.recorder.add(ending, shown=False)
    with pytest.raises(UnicodeEncodeError):
        cycles.recorder.record_and_claim(timezone.now(), most=0)

    cycles.recorder.record_one_by_one()

    assert [Job.objects.get(pk=job.pk).state for job in jobs] == ["SUCCEEDED"] * 3
    assert (cycles.recorder.recorded, cycles.recorder.pending) == (3, 0)
    reasons = [job.audit_trail.latest("id").reason for job in jobs]
    assert reasons[1] == "succeeded; its details could not be recorded"
    assert reasons[0] == reasons[2] != reasons[1]
