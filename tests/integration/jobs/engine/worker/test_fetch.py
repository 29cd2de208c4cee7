"""Fetching from a real Redis before the claim."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from redis import Redis

from jobs import pauses, service
from jobs.broker import enqueue, keys
from jobs.engine.worker import attempt
from jobs.engine.worker.fetch import Fetch
from jobs.engine.worker.in_flight import FAST_GROUP_MS, InFlight
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.ledger import Claimed
from jobs.models import Job
from jobs.service import Submission
from jobs.states import Priority

pytestmark = pytest.mark.django_db(transaction=True)
TAKES_MS = 1.5  # a job of FAST, on average
FAST = "EVENT_EXPIRATION"
SLOW = "DEFERRED_EFFECT"  # must not be done twice, so that it never counts as fast


def submit(n: int, kind: str = FAST, **changes: Any) -> list[str]:
    """Jobs of one type; the ids."""
    payload = {"effectId": "e", "executeAt": timezone.now().isoformat()} if kind == SLOW else {}
    fields: dict[str, Any] = {"type": kind, "campaign_id": "c", "payload": payload, **changes}
    answers = service.submit_many([Submission(subject=f"{kind} {i}", **fields) for i in range(n)], actor="test")
    return [str(job.pk) for job, _ in answers]


@pytest.fixture
def flight() -> InFlight:
    """A job of a fast type."""
    flight = InFlight()
    job = Claimed("1", FAST, "c", "", {}, 5, 1, 0, datetime.now(UTC), "", "", 1, None, "", 1, datetime.now(UTC))
    flight.add([job])
    flight.finish(attempt.ending_of(job, None, TAKES_MS, now=timezone.now()))
    flight.add([job]).began = math.inf  # it has taken no time yet, however long the test takes
    return flight


@pytest.fixture
def fetch(redis: Redis, flight: InFlight) -> Fetch:
    """Of a worker with two slots, in one of which that job runs."""
    pauses.publish(redis)
    return Fetch(RQMirror("w", list(settings.RQ_QUEUES), keys.own_redis()), flight, 2, lambda _: None)


def ahead(fetch: Fetch) -> list[list[str]]:
    """What is taken with one more look ahead."""
    fetch.begin_prefetch(timezone.now(), idle=0)
    fetch.end()
    return [group.ids for group in fetch.groups]


def test_only_a_batch_of_fast_jobs_is_fetched_ahead(fetch: Fetch) -> None:
    """As many as there are slots; jobs that may take long stay for any free worker."""
    size = int(FAST_GROUP_MS / TAKES_MS)
    ids = submit(3 * size)
    assert ahead(fetch) == [ids[:size], ids[size : 2 * size]]
    assert ahead(fetch) == [ids[:size], ids[size : 2 * size]]  # no second batch beside the first

    submit(1, SLOW, priority=Priority.CRITICAL.value)
    fetch.groups.clear()
    assert ahead(fetch) == []


def test_once_all_have_ended_more_is_fetched_if_all_slots_were_filled(fetch: Fetch, flight: InFlight) -> None:
    """Otherwise the queue is empty, most likely, and Redis would be asked in vain."""
    size = int(FAST_GROUP_MS / TAKES_MS)
    submit(4 * size)
    flight.finish(attempt.ending_of(next(flight.jobs()), None, TAKES_MS, now=timezone.now()))
    numbers = []
    for idle in (1, 2):
        fetch.begin(timezone.now(), idle=idle, limit=None)
        fetch.end()
        fetch.begin_prefetch(timezone.now(), idle=idle)
        fetch.end()
        numbers.append(len(fetch.groups))

    assert numbers == [1, 4]


def test_urgent_jobs_go_before_those_fetched_ahead(fetch: Fetch) -> None:
    """Strict priority holds for every job that no thread has yet."""
    low = submit(1, priority=Priority.LOW.value)
    assert ahead(fetch) == [low]

    (critical,) = submit(1, campaign_id="d", priority=Priority.CRITICAL.value)
    fetch.begin(timezone.now(), idle=2, limit=None)
    fetch.end()

    assert [group.ids for group in fetch.groups] == [[critical], low]


def test_fetched_but_unclaimed_jobs_stay_known_to_redis(fetch: Fetch, redis: Redis) -> None:
    """The scheduler enqueues them again if their worker is lost before the claim."""
    ids = submit(2)
    ahead(fetch)
    assert sorted(keys.texts(redis.zrange(keys.TAKEN, 0, -1))) == sorted(ids)

    fetch.note_claimed(list(fetch.groups))
    fetch.begin(timezone.now(), idle=1, limit=None)
    fetch.end()

    assert fetch.groups == []
    assert redis.zcard(keys.TAKEN) == 0
    assert Job.objects.filter(state="QUEUED").count() == 2


def test_a_job_that_has_failed_shares_no_thread(fetch: Fetch, redis: Redis) -> None:
    """If it kills its worker, those beside it fail with it. An idle thread gets it; once reset it may share."""
    ids = submit(4)
    (job,) = Job.objects.filter(pk=ids[1])
    job.failures, job.attempt = 1, 1
    enqueue.dequeue([job])
    enqueue.enqueue([job])
    assert ahead(fetch) == [[ids[0], ids[2], ids[3]]]

    fetch.groups.clear()
    fetch.begin(timezone.now(), idle=2, limit=None)
    fetch.end()
    assert [group.ids for group in fetch.groups] == [[ids[1]]]

    job.failures = 0
    enqueue.enqueue([job])
    fetch.groups.clear()
    assert ahead(fetch) == [[ids[1]]]
