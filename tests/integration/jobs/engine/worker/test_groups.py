"""A thread gets several jobs of a fast type: when one of them hangs, and when their claim waits for the next cycle."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as project
from django.db import connection
from django.db.models import Count
from django.utils import timezone
from redis import Redis

from jobs import pauses, service
from jobs.broker import depths, keys
from jobs.broker.commands import STOPS, Command
from jobs.engine.worker import attempt
from jobs.engine.worker.cycle import Cycles
from jobs.engine.worker.in_flight import BEGIN_WITHIN_S, WAIT_FOR_THREAD_S
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.ledger import Claimed, Ending, postgresql
from jobs.models import Job
from jobs.service import Submission
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
FAST = "EVENT_EXPIRATION"
ON_POSTGRESQL = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite answers in this process")


class Handler:
    """Does nothing, but hangs in its `hangs`-th job until it is let go."""

    def __init__(self) -> None:
        self.hangs = 1
        self.began: list[str] = []
        self.go = threading.Event()

    def __call__(self, jobs: Sequence[Claimed], *, deadline: float) -> list[Ending]:
        assert deadline > time.monotonic()
        self.began += [job.id for job in jobs]
        if len(self.began) == self.hangs:
            assert self.go.wait(30)
        return [attempt.ending_of(job, None, 0.1, now=timezone.now()) for job in jobs]


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    """In place of all handlers."""
    handler = Handler()
    monkeypatch.setattr(attempt, "run_handler", handler)
    yield handler
    handler.go.set()


@pytest.fixture
def cycles(redis: Redis, settings: Any, handler: Handler) -> Iterator[Cycles]:
    """Of a worker with one thread, which has found the type to be fast."""
    settings.QUEUE_CONCURRENCY = 1
    pauses.publish(redis)
    mirror = RQMirror("w", list(project.RQ_QUEUES), keys.own_redis())
    cycles = Cycles("w", mirror, redis, run_foreign=lambda _: None, wake_main=lambda: None)
    job = Claimed("1", FAST, "c", "", {}, 5, 1, 0, datetime.now(UTC), "", "", 1, None, "", 1, datetime.now(UTC))
    cycles.in_flight.add([job])
    cycles.in_flight.finish(attempt.ending_of(job, None, 0.1, now=timezone.now()))
    cycles.start(lead=False)
    yield cycles
    for group in cycles.in_flight:
        group.withdraw_rest()
    cycles.stop()


def submit(n: int) -> None:
    """Jobs that are due now."""
    service.submit_many(
        [Submission(type=FAST, campaign_id="campaign-1", subject=str(i), payload={}) for i in range(n)], actor="test"
    )


def states() -> dict[tuple[str, int], int]:
    """How many jobs there are of each state and number of failures."""
    rows = Job.objects.order_by().values_list("state", "failures").annotate(Count("pk"))
    return {(state, failures): count for state, failures, count in rows}


def count_waiting(redis: Redis) -> int:
    """How many IDs wait in Redis."""
    return depths.read(redis)["normal"].waiting


def hang(cycles: Cycles, handler: Handler, n: int) -> None:
    """Let a thread get `n` jobs, the second of which hangs; the worker takes nothing more."""
    handler.hangs = 2
    submit(n)
    cycles.run()
    wait_until(lambda: len(handler.began) == 2)
    cycles.takes = False
    cycles.run()
    assert states() == {("SUCCEEDED", 0): 1, ("RUNNING", 0): n - 1}


def test_what_waits_behind_a_job_that_hangs_is_handed_back(
    cycles: Cycles, handler: Handler, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second, without a failure; the time limit ends the job that hangs alone, and its thread is replaced."""
    hang(cycles, handler, 20)
    (group,) = cycles.in_flight
    now = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now + BEGIN_WITHIN_S)
        cycles.run()
    assert states() == {("SUCCEEDED", 0): 1, ("RUNNING", 0): 1, ("QUEUED", 0): 18}
    assert count_waiting(redis) == 18

    group.deadline = time.monotonic()
    cycles.run()
    assert states() == {("SUCCEEDED", 0): 1, ("RETRYING", 1): 1, ("QUEUED", 0): 18}

    cycles.takes = True
    wait_until(lambda: (cycles.run(), Job.objects.filter(state="SUCCEEDED").count() == 19)[1])
    assert len(set(handler.began)) == len(handler.began) == 20


def test_the_time_limit_ends_the_job_that_hangs_alone(cycles: Cycles, handler: Handler) -> None:
    """Though nothing was handed back before."""
    hang(cycles, handler, 5)
    (group,) = cycles.in_flight
    group.deadline = time.monotonic()
    cycles.run()

    assert states() == {("SUCCEEDED", 0): 1, ("RETRYING", 1): 1, ("QUEUED", 0): 3}
    assert Job.objects.get(state="RETRYING").pk.hex == handler.began[1].replace("-", "")


def test_stopping_the_job_that_hangs_frees_the_others(cycles: Cycles, handler: Handler) -> None:
    """They are queued again, and the worker has a thread for them."""
    hang(cycles, handler, 5)
    cycles.cancellations.request(Command(STOPS[0], handler.began[1], "olga"))
    cycles.run()
    assert states() == {("SUCCEEDED", 0): 1, ("DEAD", 1): 1, ("QUEUED", 0): 3}

    cycles.takes = True
    wait_until(lambda: (cycles.run(), Job.objects.filter(state="SUCCEEDED").count() == 4)[1])


def test_a_stopped_job_that_has_not_begun_never_begins(cycles: Cycles, handler: Handler) -> None:
    """Its end says that nothing was done; the others of its group run."""
    hang(cycles, handler, 5)
    (group,) = cycles.in_flight
    stopped = list(group.jobs)[-1]
    cycles.cancellations.request(Command(STOPS[0], stopped, "olga"))
    cycles.run()
    assert Job.objects.get(pk=stopped).error.endswith("nothing it sent is unanswered")

    handler.go.set()
    wait_until(lambda: (cycles.run(), not cycles.busy)[1])
    assert states() == {("SUCCEEDED", 0): 4, ("DEAD", 1): 1}
    assert stopped not in handler.began


def test_what_was_fetched_behind_it_goes_back(
    cycles: Cycles, handler: Handler, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may be free, or the campaign be paused by now."""
    submit(200)
    cycles.run()
    wait_until(lambda: handler.began)
    cycles.run()
    assert count_waiting(redis) < 200 - Job.objects.filter(state="RUNNING").count()

    now = time.monotonic()
    pauses.pause("campaign", "campaign-1", actor="olga", reason="stop")
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now + max(WAIT_FOR_THREAD_S, BEGIN_WITHIN_S) + 0.1)
        cycles.run()
    handler.go.set()
    wait_until(lambda: (cycles.run(), not cycles.busy)[1])

    assert states() == {("SUCCEEDED", 0): len(handler.began), ("QUEUED", 0): 200 - len(handler.began)}
    assert len(handler.began) == 1
    assert redis.zcard(keys.TAKEN) == 0


def test_a_worker_that_takes_nothing_new_gives_back_what_it_fetched(
    cycles: Cycles, handler: Handler, redis: Redis
) -> None:
    """At once: it was told to stop, or is suspended."""
    submit(200)
    cycles.run()
    wait_until(lambda: handler.began)
    cycles.run()
    cycles.takes = False
    cycles.run()

    running = Job.objects.filter(state="RUNNING").count()
    assert count_waiting(redis) == 200 - running > 0
    assert not cycles.fetch.groups


def leave_claim(cycles: Cycles) -> None:
    """Claim 64 jobs that the next cycle is to start; as many more are fetched."""
    submit(128)
    cycles.fetch.begin(timezone.now(), idle=2, limit=None)
    cycles.fetch.end()
    cycles.recorder.record_and_claim(timezone.now(), 1, may_wait=True)
    assert (cycles.in_flight.coming, len(cycles.in_flight), list(cycles.in_flight)) == (1, 1, [])


def work_off(cycles: Cycles) -> None:
    """Until nothing is in flight; no claim is left to a cycle that does not follow at once."""

    def has_ended() -> bool:
        cycles.run()
        assert cycles.has_more or not cycles.in_flight.coming
        return not cycles.busy

    wait_until(has_ended)


def take_nothing_new(cycles: Cycles) -> None:
    """As after SIGTERM."""
    cycles.takes = False


def renew(cycles: Cycles) -> None:
    """The leases, which are about to expire."""
    Job.objects.filter(state="RUNNING").update(lease_until=timezone.now())
    cycles.recorder.renew_leases(timezone.now())
    assert not Job.objects.filter(lease_until__lt=timezone.now() + project.LEASE / 2).exists()


def lose_connection(_cycles: Cycles) -> None:
    """The main thread's, whose next statement fails."""
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


@ON_POSTGRESQL
@pytest.mark.parametrize(
    ("event", "ended"),
    [(Cycles.run, 128), (renew, 128), (Cycles.sync, 128), (lose_connection, 128), (take_nothing_new, 64)],
)
def test_a_claim_that_was_left_runs_once(
    cycles: Cycles, handler: Handler, redis: Redis, event: Callable[[Cycles], object], ended: int
) -> None:
    """Whatever comes before the next cycle's statement, or with it."""
    handler.go.set()
    if event is not renew:
        cycles.run()  # it renews leases first of all
    leave_claim(cycles)

    event(cycles)
    work_off(cycles)
    cycles.sync()

    assert states() == {("SUCCEEDED", 0): ended} | ({("QUEUED", 0): 128 - ended} if ended < 128 else {})
    assert len(set(handler.began)) == len(handler.began) == ended
    assert set(Job.objects.filter(state="SUCCEEDED").values_list("attempt", flat=True)) == {1}
    assert (count_waiting(redis), redis.zcard(keys.TAKEN)) == (128 - ended, 0)


@ON_POSTGRESQL
def test_a_job_of_a_claim_that_was_left_can_be_stopped(cycles: Cycles, handler: Handler) -> None:
    """It is in flight as soon as somebody looks for it, and never begins."""
    cycles.run()
    leave_claim(cycles)
    stopped = str(Job.objects.filter(state="RUNNING").latest("id").pk)
    cycles.cancellations.request(Command(STOPS[0], stopped, "olga"))

    cycles.run()
    assert Job.objects.get(pk=stopped).error.endswith("nothing it sent is unanswered")
    handler.go.set()
    work_off(cycles)

    assert states() == {("SUCCEEDED", 0): 127, ("DEAD", 1): 1}
    assert stopped not in handler.began


@ON_POSTGRESQL
def test_a_claim_whose_answer_cannot_be_read_is_found_in_its_rows(
    cycles: Cycles, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs run at once, not when their leases have expired."""
    handler.go.set()
    cycles.run()
    with monkeypatch.context() as patch:
        patch.setattr(postgresql, "read_answer", lambda *_: int("Number out of range"))
        leave_claim(cycles)

    work_off(cycles)

    assert states() == {("SUCCEEDED", 0): 128}
    assert len(set(handler.began)) == len(handler.began) == 128
