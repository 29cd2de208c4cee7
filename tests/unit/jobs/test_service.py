"""States, outcomes, ledger and service."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from jobs import service
from jobs.backoff import LONGEST, backoff
from jobs.broker import keys
from jobs.engine.worker import attempt
from jobs.engine.worker.attempt import Ended
from jobs.errors import CircuitOpen, InvalidJob, OutcomeUnknown, PermanentError, Skip, StateConflict, TransientError
from jobs.ledger import moves
from jobs.ledger.moves import Move
from jobs.models import AuditEntry, Job
from jobs.outcome import RetryPolicy, outcome_of
from jobs.processes.lease import Lease
from jobs.registry import all_types, type_named
from jobs.service import Submission
from jobs.states import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=3, base=timedelta(seconds=5))
EFFECT = {"effectId": "e-1", "executeAt": timezone.now().isoformat()}
PAYLOADS: dict[str, dict[str, Any]] = {
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


def submitted(**changes: Any) -> Job:
    """A new job."""
    return service.submit(submission(**changes), actor="test")[0]


def test_the_seed_s_six_types_are_declared() -> None:
    """One file each, nothing else."""
    assert set(all_types()) == set(PAYLOADS)


@pytest.mark.parametrize(
    ("error", "failures", "to", "counts"),
    [
        (None, 0, State.SUCCEEDED, False),
        (Skip("gone"), 0, State.SKIPPED, False),
        (CircuitOpen(NOW + timedelta(seconds=9)), 2, State.RETRYING, False),
        (PermanentError("no"), 0, State.DEAD, True),
        (TransientError("later"), 1, State.RETRYING, True),
        (TransientError("later"), 2, State.DEAD, True),
        (OutcomeUnknown("?"), 0, State.RETRYING, True),
        (KeyError("a bug"), 0, State.RETRYING, True),
    ],
)
def test_outcome(error: BaseException | None, failures: int, to: State, counts: bool) -> None:
    """How a handler ends decides what becomes of the job."""
    outcome = outcome_of(error, failures=failures, policy=POLICY, now=NOW, random=Random(1))

    assert (outcome.to, outcome.counts) == (to, counts)
    assert (outcome.due_at is not None) == (to is State.RETRYING)


def test_unknown_outcome_of_what_must_not_be_resent_is_dead() -> None:
    """An effect that may have been executed is not executed again by itself."""
    policy = RetryPolicy(max_attempts=3, base=timedelta(seconds=5), may_resend=False)

    assert outcome_of(OutcomeUnknown("?"), failures=0, policy=policy, now=NOW, random=Random(1)).to is State.DEAD


def test_retry_after_is_honoured() -> None:
    """The main API's own wish is the least wait."""
    error = TransientError("slow down", retry_after=timedelta(minutes=9))
    outcome = outcome_of(error, failures=0, policy=POLICY, now=NOW, random=Random(1))

    assert outcome.due_at == NOW + timedelta(minutes=9)


@given(st.integers(1, 3_600_000), st.integers(1, 10_000), st.integers())
def test_backoff_grows_to_its_bound(base_ms: int, failures: int, seed: int) -> None:
    """Never below the base doubled, never above an hour and its jitter."""
    base = timedelta(milliseconds=base_ms)
    wait = backoff(base, failures, random=Random(seed))

    assert min(base, LONGEST) <= wait <= LONGEST * 1.2


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
    """Nothing is stored, and the field stands in the message."""
    with pytest.raises(InvalidJob) as caught:
        submitted(**changes)

    assert caught.value.field == field
    assert str(caught.value).startswith(field)
    assert not Job.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_payloads_survive_json(name: str, redis: Redis) -> None:
    """What was submitted is what the handler parses."""
    job = submitted(type=name, payload=PAYLOADS[name])
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


@pytest.mark.django_db
def test_odd_ids_make_no_two_works_one(redis: Redis) -> None:
    """Whatever stands in ids, other campaigns and subjects are other work."""
    due = timezone.now() + timedelta(hours=1)
    odd = [("a|b", "c"), ("a", "b|c"), ("a.b", "c"), ("a", "b.c"), ("", "a|b|c"), ("a b", "c"), ("а", "b|c")]  # noqa: RUF001

    jobs = {submitted(campaign_id=campaign, subject=subject, due_at=due).pk for campaign, subject in odd}

    assert len(jobs) == len(odd)


@pytest.mark.django_db(transaction=True)
def test_stale_worker_changes_nothing(redis: Redis) -> None:
    """A worker that was given up for dead and finishes late finds another attempt and changes nothing."""
    job = submitted()
    (stale,) = attempt.claim([str(job.id)], worker="stale", now=timezone.now())
    lost = Job.objects.get(pk=job.pk)
    attempt.record([Ended(lost, OutcomeUnknown("lost"), None, 1)], actor="rescuer")
    service.run_now([Job.objects.get(pk=job.pk)], actor="test", reason="again")
    (current,) = attempt.claim([str(job.id)], worker="second", now=timezone.now())
    trail = AuditEntry.objects.filter(job=job).count()

    moved = attempt.record([Ended(stale, None, '{"late": true}', 9)], actor="worker:stale")

    job.refresh_from_db()
    assert moved == []
    assert (job.state, job.attempt, job.result) == ("RUNNING", current.attempt, None)
    assert AuditEntry.objects.filter(job=job).count() == trail


@pytest.mark.django_db(transaction=True)
def test_a_job_is_claimed_once(redis: Redis) -> None:
    """Of two workers with the same id one claims it."""
    job = submitted()

    first = attempt.claim([str(job.id), str(job.id)], worker="a", now=timezone.now())
    second = attempt.claim([str(job.id)], worker="b", now=timezone.now())

    assert [len(first), len(second)] == [1, 0]


@pytest.mark.django_db(transaction=True)
def test_commands_report_what_happened_and_what_did_not(redis: Redis) -> None:
    """Cancel, retry and reschedule count what moved and name the states of the rest."""
    waiting = submitted(due_at=timezone.now() + timedelta(hours=1))
    running = submitted()
    attempt.claim([str(running.id)], worker="w", now=timezone.now())
    jobs = list(Job.objects.filter(id__in=[waiting.id, running.id]))

    report = service.cancel(jobs, actor="user:ann", reason="not today")

    assert str(report) == "Cancelled 1 job. 1 left as it was: 1 RUNNING."
    again = service.cancel(list(Job.objects.filter(id__in=[waiting.id, running.id])), actor="user:ann", reason="again")
    assert str(again) == "Cancelled 0 jobs. 2 left as they were: 1 CANCELLED, 1 RUNNING."
    entry = AuditEntry.objects.get(job=waiting, now="CANCELLED")
    assert (entry.actor, entry.reason) == ("user:ann", "not today")
    assert redis.zscore(keys.SCHEDULED, str(waiting.id)) is None
    waiting.refresh_from_db()
    assert not service.retry([waiting], actor="user:ann", reason="after all").skipped
    assert redis.lrange("rq:queue:normal", 0, -1)[-1] == str(waiting.id).encode()


@pytest.mark.django_db
def test_forbidden_and_lost_moves_raise(redis: Redis) -> None:
    """A move that MOVES forbids, or whose job changed meanwhile, raises and records nothing."""
    job = submitted()
    stale = Job.objects.get(pk=job.pk)
    moves.move(Move(job, State.CANCELLED, "first"), actor="test")

    with pytest.raises(StateConflict):
        moves.move(Move(job, State.RUNNING, "forbidden"), actor="test")
    with pytest.raises(StateConflict):
        moves.move(Move(stale, State.CANCELLED, "lost"), actor="test")
    assert AuditEntry.objects.filter(job=job).count() == 2
    with pytest.raises(TypeError):
        AuditEntry.objects.filter(job=job)[0].save()


@pytest.mark.django_db
def test_moves_search_by_id_not_through_the_backlog(redis: Redis, django_assert_num_queries: Any) -> None:
    """SQLite must not walk the index on state, which is the whole backlog."""
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's planner only")
    job = submitted()
    with connection.execute_wrapper(_explain):
        _plans.clear()
        moves.move(Move(job, State.CANCELLED, "x"), actor="test")

    assert any("sqlite_autoindex_jobs_job" in plan for plan in _plans)
    assert not any("job_by_state" in plan or "job_queued" in plan for plan in _plans)


_plans: list[str] = []


def _explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if "UPDATE jobs_job" in sql:
        cursor = connection.connection.execute("EXPLAIN QUERY PLAN " + sql.replace("%s", "?"), params)
        _plans.extend(str(row[3]) for row in cursor.fetchall())
    return execute(sql, params, many, context)


def test_of_two_leases_one_is_held(redis: Redis) -> None:
    """A second instance takes over only when the first gives back or dies."""
    first, second = Lease("test", redis), Lease("test", redis)

    assert first.hold()
    assert not second.hold()
    assert first.hold()
    second.release()
    assert not second.hold()
    first.release()
    assert second.hold()
