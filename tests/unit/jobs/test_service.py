"""The public interface: validation, deduplication, reports."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.broker import enqueue, keys
from jobs.engine.worker import attempt
from jobs.errors import InvalidJob
from jobs.ledger import moves
from jobs.models import AuditEntry, Job
from jobs.registry import type_named
from jobs.service import Submission
from jobs.signals import job_moved

EFFECT = {"effectId": "e-1", "executeAt": timezone.now().isoformat()}
PAYLOADS: dict[str, dict[str, Any]] = {
    "ADVANCE_WORLD_TIME": {"byMinutes": 480},
    "DEFERRED_EFFECT": EFFECT,
    "EVENT_EXPIRATION": {},
    "SETTLEMENT_GROWTH": {"settlementId": "s-1", "growthType": "LEVEL_UP_CHECK"},
    "STRUCTURE_MAINTENANCE": {"structureId": "x-1", "eventType": "MAINTENANCE_DUE"},
    "RECALCULATE_SETTLEMENT_SCHEDULES": {},
    "RECALCULATE_STRUCTURE_SCHEDULES": {},
}


def submission(**changes: Any) -> Submission:
    """An event expiration of one campaign."""
    return Submission(**{"type": "EVENT_EXPIRATION", "campaign_id": "c-1", "payload": {}, **changes})


def submit(**changes: Any) -> Job:
    """A new job."""
    return service.submit(submission(**changes), actor="test")[0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "NO_SUCH"}, "type"),
        ({"type": None}, "type"),
        ({"campaign_id": 7}, "campaignId"),
        ({"campaign_id": 0}, "campaignId"),  # nor is it the empty one of all campaigns
        ({"campaign_id": False}, "campaignId"),
        ({"campaign_id": []}, "campaignId"),
        ({"type": "DEFERRED_EFFECT", "payload": EFFECT, "campaign_id": ""}, "campaignId"),
        ({"type": "DEFERRED_EFFECT", "payload": {}}, "payload.effectId"),
        ({"type": "DEFERRED_EFFECT", "payload": {**EFFECT, "effectId": 5}}, "payload.effectId"),
        ({"type": "DEFERRED_EFFECT", "payload": {**EFFECT, "more": 5}}, "payload.more"),
        ({"type": "DEFERRED_EFFECT", "payload": {**EFFECT, "executeAt": "soon"}}, "payload.executeAt"),
        ({"type": "DEFERRED_EFFECT", "payload": {**EFFECT, "executeAt": "2026-01-01T00:00:00"}}, "payload.executeAt"),
        ({"type": "DEFERRED_EFFECT", "payload": {**EFFECT, "executeAt": "9999-01-01T00:00:00Z"}}, "payload.executeAt"),
        ({"type": "SETTLEMENT_GROWTH", "payload": {"settlementId": "s", "growthType": "X"}}, "payload.growthType"),
        (
            {"type": "SETTLEMENT_GROWTH", "payload": {"settlementId": "", "growthType": "LEVEL_UP_CHECK"}},
            "payload.settlementId",
        ),
        (
            {"type": "SETTLEMENT_GROWTH", "payload": {"settlementId": "\ud800", "growthType": "LEVEL_UP_CHECK"}},
            "payload",
        ),
        ({"type": "SETTLEMENT_GROWTH", "payload": {"settlementId": "a\0", "growthType": "LEVEL_UP_CHECK"}}, "payload"),
        ({"campaign_id": "\ud800"}, "campaignId"),
        ({"campaign_id": "x" * 256}, "campaignId"),
        ({"payload": []}, "payload"),
        ({"payload": {"x": 1}}, "payload.x"),
        ({"priority": "URGENT"}, "priority"),
        ({"priority": True}, "priority"),
        ({"due_at": datetime(2026, 1, 1)}, "dueAt"),  # noqa: DTZ001 - naive, which is the fault
    ],
)
@pytest.mark.django_db
def test_bad_input_names_its_field_and_stores_nothing(changes: dict[str, Any], field: str) -> None:
    """The field is in the message."""
    with pytest.raises(InvalidJob) as caught:
        submit(**changes)

    assert caught.value.field == field
    assert str(caught.value).startswith(field)
    assert not Job.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_payloads_survive_json(name: str, redis: Redis) -> None:
    """The handler parses what was submitted."""
    job = submit(type=name, payload=PAYLOADS[name])
    job.refresh_from_db()

    assert type_named(name).parse(job.payload) == type_named(name).parse(PAYLOADS[name])


@pytest.mark.django_db
def test_the_same_work_twice_is_one_job(redis: Redis) -> None:
    """The unique key gives the first job; other work gives another."""
    due = timezone.now() + timedelta(hours=1)
    first, new = service.submit(submission(due_at=due), actor="test")
    again, newer = service.submit(submission(due_at=due), actor="test")
    other, _ = service.submit(submission(due_at=due, campaign_id="c-2"), actor="test")

    assert (new, newer) == (True, False)
    assert again.id == first.id != other.id
    assert AuditEntry.objects.filter(job=first).count() == 1


@pytest.fixture
def short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs are many, for the ledger and for Redis."""
    monkeypatch.setattr(moves, "BATCH", 2)
    monkeypatch.setattr(enqueue, "BATCH", 2)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("short_batches")
@pytest.mark.parametrize("subjects", ["a", "aa", "ab", "abc", "abac", "kabac", "abkkcab", "kkk", "abcdefg"])
def test_the_same_work_twice_in_a_long_list_is_one_new_job(redis: Redis, subjects: str) -> None:
    """Also if it is written in two batches: the first one is new, enqueued and announced. The work of k is known."""
    due = timezone.now()
    known = submit(due_at=due, subject="k")
    redis.flushall()
    said: list[str] = []

    def note(moves: list[Any], **_: Any) -> None:
        said.extend(m.job_id for m in moves)

    job_moved.connect(note)  # by a weak reference, for as long as this test runs
    answers = service.submit_many([submission(due_at=due, subject=s) for s in subjects], actor="test")

    assert [(job.subject, new) for job, new in answers] == [
        (s, s != "k" and s not in subjects[:n]) for n, s in enumerate(subjects)
    ]
    assert {job.pk for job, _ in answers if job.subject == "k"} <= {known.pk}
    new = [str(job.pk) for job, new in answers if new]
    assert {str(job.pk) for job, _ in answers if job.subject != "k"} == set(new)
    assert said == keys.texts(redis.lrange("rq:queue:normal", 0, -1)) == new
    entries = AuditEntry.objects.exclude(job=known).order_by("id").values_list("job_id", flat=True)
    assert list(map(str, entries)) == new


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("short_batches")
@pytest.mark.parametrize("place", range(5))
def test_of_a_list_that_the_database_refuses_nothing_is_left(redis: Redis, place: int) -> None:
    """Whichever batch has what it refuses; the connection serves the next call."""
    wanted = [submission(subject=str(n), occurrences=2**70 if n == place else 1) for n in range(5)]

    with pytest.raises((DatabaseError, OverflowError)):  # PostgreSQL's, and Python's sqlite3
        service.submit_many(wanted, actor="test")

    assert not Job.objects.exists()
    assert not AuditEntry.objects.exists()
    assert not redis.keys("rq:*")
    assert all(new for _, new in service.submit_many([submission(subject=str(n)) for n in range(5)], actor="test"))


@pytest.mark.django_db
def test_odd_ids_never_merge_different_work(redis: Redis) -> None:
    """Whatever IDs contain, other campaigns and subjects are other work."""
    due = timezone.now() + timedelta(hours=1)
    odd = [("a|b", "c"), ("a", "b|c"), ("a.b", "c"), ("a", "b.c"), ("", "a|b|c"), ("a b", "c"), ("\u0430", "b|c")]

    jobs = {submit(campaign_id=campaign, subject=subject, due_at=due).pk for campaign, subject in odd}

    assert len(jobs) == len(odd)


@pytest.mark.django_db(transaction=True)
def test_commands_report_what_happened_and_what_did_not(redis: Redis) -> None:
    """Cancel, retry and reschedule count the jobs that moved and name the states of the rest."""
    waiting = submit(due_at=timezone.now() + timedelta(hours=1))
    running = submit()
    attempt.claim([str(running.id)], worker="w", now=timezone.now())
    jobs = list(Job.objects.filter(id__in=[waiting.id, running.id]))

    report = service.cancel(jobs, actor="user:ann", reason="not today")

    assert (report.done, report.skipped) == ([waiting], {"RUNNING": 1})
    again = service.cancel(list(Job.objects.filter(id__in=[waiting.id, running.id])), actor="user:ann", reason="again")
    assert (again.done, again.skipped) == ([], {"CANCELLED": 1, "RUNNING": 1})
    entry = AuditEntry.objects.get(job=waiting, now="CANCELLED")
    assert (entry.actor, entry.reason) == ("user:ann", "not today")
    assert redis.zscore(keys.SCHEDULED, str(waiting.id)) is None
    waiting.refresh_from_db()
    assert not service.retry([waiting], actor="user:ann", reason="after all").skipped
    assert redis.lrange("rq:queue:normal", 0, -1)[-1] == str(waiting.id).encode()
