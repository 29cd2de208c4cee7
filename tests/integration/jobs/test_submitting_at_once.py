"""Threads that submit at the same time each get what they would have got alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier, get_ident
from typing import Any, Final

import pytest
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from jobs import service
from jobs.broker import keys
from jobs.errors import InvalidJob
from jobs.ledger import Entry, moves
from jobs.ledger.recording import Moved
from jobs.models import AuditEntry, Job
from jobs.service import Submission
from jobs.signals import job_moved
from tests.support.examples import examples
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
DUE: Final = timezone.now()
TOO_MANY: Final = 2**70  #: passes our checks, and no database takes it
WORK = st.integers(0, 3).map(lambda n: {"subject": str(n)})
BAD = st.sampled_from([{"type": "NO_SUCH"}, {"campaign_id": 7}, {"payload": {"x": 1}}, {"subject": "a\0"}])
WORSE = st.integers(0, 3).map(lambda n: {"subject": f"too many {n}", "occurrences": TOO_MANY})


def submission(**changes: Any) -> Submission:
    """The same work, if it has the same subject."""
    given = {"type": "EVENT_EXPIRATION", "campaign_id": "c-1", "payload": {}, "due_at": DUE, **changes}
    return Submission(**given)


def submit(changes: dict[str, Any]) -> tuple[Job, bool] | str:
    """The answer, or the error as text."""
    try:
        return service.submit(submission(**changes), actor="test")
    except (InvalidJob, DatabaseError, OverflowError) as error:  # of TOO_MANY: PostgreSQL's, and Python's sqlite3
        return repr(error)


def submit_at_once(wanted: Sequence[dict[str, Any]]) -> list[tuple[int, tuple[Job, bool] | str]]:
    """The answers, each with its thread."""
    start = Barrier(len(wanted))

    def run(changes: dict[str, Any]) -> tuple[int, tuple[Job, bool] | str]:
        try:
            start.wait(60)
            return get_ident(), submit(changes)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(wanted)) as threads:
        return list(threads.map(run, wanted))


def forget_all(redis: Redis) -> None:
    AuditEntry.objects.all().delete()
    Job.objects.all().delete()
    redis.flushall()


@given(st.lists(WORK | BAD | WORSE, min_size=2, max_size=8))
@examples(20)
def test_each_gets_what_it_would_have_got_alone(redis: Redis, wanted: list[dict[str, Any]]) -> None:
    """New work once, the same job for the same work, and its own error.

    Each job has one entry, is queued once, and is announced once by the thread that submitted it.
    """
    forget_all(redis)
    alone = [answer if isinstance(answer := submit(changes), str) else answer[0].subject for changes in wanted]
    forget_all(redis)
    said: list[tuple[str, int]] = []

    def note(moves: Sequence[Moved], **_: Any) -> None:
        said.extend((m.job_id, get_ident()) for m in moves)

    job_moved.connect(note)  # by a weak reference, for as long as this test runs
    threads, answers = zip(*submit_at_once(wanted), strict=True)

    assert [answer if isinstance(answer, str) else answer[0].subject for answer in answers] == alone
    jobs = {str(pk): subject for pk, subject in Job.objects.values_list("pk", "subject")}
    stored = [answer for answer in answers if not isinstance(answer, str)]
    assert Counter(subject for subject in jobs.values()) == Counter({job.subject for job, _ in stored})
    assert {str(job.pk) for job, _ in stored} == jobs.keys()
    assert Counter(str(job.pk) for job, new in stored if new) == Counter(jobs.keys())
    assert Counter(map(str, AuditEntry.objects.values_list("job_id", flat=True))) == Counter(jobs.keys())
    assert Counter(keys.texts(redis.lrange("rq:queue:normal", 0, -1))) == Counter(jobs.keys())
    new = [(t, answer) for t, answer in zip(threads, answers, strict=True) if not isinstance(answer, str) and answer[1]]
    assert Counter(said) == Counter((str(job.pk), thread) for thread, (job, _) in new)


def test_whoever_writes_it_an_entry_says_who_asked(redis: Redis) -> None:
    """Each request's own address and ID."""

    def post(n: int) -> int:
        headers = {"authorization": "Bearer secret-of-tests", "x-request-id": f"r-{n}"}
        body = {"type": "EVENT_EXPIRATION", "campaignId": f"c-{n}"}
        start.wait(60)
        try:
            path, json = "/api/jobs", "application/json"
            return Client().post(path, body, json, headers=headers, REMOTE_ADDR=f"203.0.113.{n}").status_code
        finally:
            connections.close_all()

    Client().get("/api/jobs")  # django-prometheus registers its metrics at the first request, of one thread
    start = Barrier(8)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(post, range(8))) == [201] * 8

    entries = AuditEntry.objects.select_related("job").order_by("job__campaign_id")
    assert [(e.job.campaign_id, e.job.request_id, (e.details or {})["from"]) for e in entries] == [
        (f"c-{n}", f"r-{n}", {"ip": f"203.0.113.{n}", "request_id": f"r-{n}"}) for n in range(8)
    ]


def test_jobs_whose_commit_was_not_acknowledged_are_enqueued(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several were committed together, and then the connection was lost: each is new, and queued once."""
    create_noted = moves.create_noted
    lost: list[int] = []

    def create_and_lose(jobs: Mapping[str, Job], entries: Sequence[Entry]) -> set[str]:
        new = create_noted(jobs, entries)
        if len(jobs) > 1 and not lost:
            lost.append(len(jobs))
            raise OperationalError("server closed the connection unexpectedly")
        return new

    monkeypatch.setattr(moves, "create_noted", create_and_lose)
    submitted = count()
    while not lost:
        for _, answer in submit_at_once([{"subject": f"{next(submitted)}"} for _ in range(8)]):
            assert not isinstance(answer, str)
            assert answer[1]

    stored = Counter(str(pk) for pk in Job.objects.values_list("pk", flat=True))
    assert sum(stored.values()) == next(submitted)
    carried = keys.texts(redis.lrange("rq:queue:normal", 0, -1) + redis.lrange("scheduler:backlog:normal:c-1", 0, -1))
    assert Counter(carried) == stored


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no server that closes connections")
def test_a_broken_connection_costs_one_job_at_most(redis: Redis) -> None:
    """The next one is stored on a new connection, outside of a request too."""
    service.submit(submission(subject="before"), actor="test")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (ours,) = cursor.fetchone()

    def terminate() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [ours])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(terminate).result(60)

    with pytest.raises(OperationalError):
        service.submit(submission(subject="during"), actor="test")
    assert service.submit(submission(subject="after"), actor="test")[1]


def submit_and_fail() -> None:
    with transaction.atomic():
        assert service.submit(submission(), actor="test")[1]
        raise ZeroDivisionError


def test_in_a_transaction_of_the_caller_nothing_is_stored_before_its_end(redis: Redis) -> None:
    with pytest.raises(ZeroDivisionError):
        submit_and_fail()

    assert not Job.objects.exists()
    assert not redis.llen("rq:queue:normal")


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite locks the whole database")
def test_a_lock_on_the_same_work_keeps_nobody_else_waiting(redis: Redis) -> None:
    """Who submits what another transaction has not committed yet waits for that; the others are stored meanwhile."""

    def run(subject: str) -> bool:
        try:
            return service.submit(submission(subject=subject), actor="test")[1]
        finally:
            connections.close_all()

    def waits_for_a_lock() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])

    with ThreadPoolExecutor(4) as threads:
        with transaction.atomic():
            assert service.submit(submission(subject="held"), actor="test")[1]
            waiting = threads.submit(run, "held")
            wait_until(waits_for_a_lock, what="the same work waits")
            assert list(threads.map(run, ["1", "2", "3"], timeout=60))
            assert not waiting.done()
        assert waiting.result(60) is False
