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
from jobs.errors import NotBegun, TransientError
from jobs.ledger import Ending, moves
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


def end_each(redis: Redis) -> list[Ending]:
    """The ends of two jobs that go on, one back in its queue and one to be retried; Redis does not carry them."""
    errors = (NotBegun("handed back"), TransientError("HTTP 503"))
    jobs = submit(2)
    redis.flushdb()
    return [attempt.ending_of(claim(job), e, 1.0, now=timezone.now()) for job, e in zip(jobs, errors, strict=True)]


def is_carried(redis: Redis, endings: list[Ending]) -> bool:
    """Whether Redis has each job where its state says."""
    queued, retrying = (str(ending.job.id) for ending in endings)
    in_queue = keys.texts(redis.lrange("rq:queue:normal", 0, -1))
    return in_queue == [queued] and keys.texts(redis.zrange(keys.SCHEDULED, 0, -1)) == [retrying]


def test_jobs_whose_ends_were_not_acknowledged_are_enqueued(cycles: Cycles, redis: Redis) -> None:
    """The ends were committed before the connection was lost."""
    endings = end_each(redis)
    for ending in endings:
        cycles.recorder.add(ending, shown=False)
    moves.cycle(endings, [], actor="worker:w", worker="w", now=timezone.now())

    cycles.recorder.record_and_claim(timezone.now(), most=0)

    assert is_carried(redis, endings)


def test_jobs_whose_ends_are_recorded_one_by_one_are_enqueued(cycles: Cycles, redis: Redis) -> None:
    endings = end_each(redis)
    for ending in endings:
        cycles.recorder.add(ending, shown=False)

    cycles.recorder.record_one_by_one()

    assert is_carried(redis, endings)


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
