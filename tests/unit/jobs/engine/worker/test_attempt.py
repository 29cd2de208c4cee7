"""What is recorded of an attempt's end: bounded, storable, and complete."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from jobs.engine.worker import attempt
from jobs.errors import OutcomeUnknown, PermanentError, Skip, TransientError
from jobs.fingerprint import fingerprint_of
from jobs.ledger import Claimed
from jobs.models import AuditEntry, FailureGroup, Job
from jobs.service import Submission, run_now, submit
from jobs.states import State
from scheduler_project.text import LONGEST_ERROR, LONGEST_REASON, LONGEST_RESULT, LONGEST_TRACEBACK, fits_postgresql
from tests.support.texts import ANY

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make_claimed() -> Claimed:
    """A job that a worker has claimed."""
    job = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}), actor="test")[0]
    return attempt.claim([str(job.pk)], worker="w", now=timezone.now())[0]


def with_traceback(error: Exception) -> Exception:
    """The error with a traceback."""
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - whatever it is
        return caught


def end(answer: Any, job: Claimed) -> tuple[Job, AuditEntry]:
    """Record that a handler has answered so; the job and the entry."""
    ended = attempt.ending_of(job, answer, 1.0, now=NOW)
    attempt.record([ended], actor="worker:w", worker="w")
    row = Job.objects.get(pk=job.id)
    entry = row.audit_trail.order_by("id").last()
    assert entry is not None
    return row, entry


class Silent(Exception):
    """Its message cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no message")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "message",
    [
        "x" * 1_000_000,
        "word " * 200_000,
        "a://" * 200_000,
        "1." * 200_000,
        "\0" * 1_000_000,
        "\ud83c" * 200_000,
        'File "' * 160_000,
        "bearer " * 140_000,
        "; " * 400_000,
        "\n" * 600_000,
    ],
)
def test_a_dead_letter_is_small_whatever_its_error(message: str) -> None:
    """Error, reason and traceback are cut, visibly; the frame that raised it is kept."""
    row, entry = end(with_traceback(PermanentError(message)), make_claimed())

    assert row.state == State.DEAD
    assert len(row.error) <= LONGEST_ERROR
    assert " characters cut … " in row.error
    assert len(entry.error) <= LONGEST_ERROR
    assert len(entry.reason) <= LONGEST_REASON
    assert len(row.traceback) <= LONGEST_TRACEBACK
    assert len(json.dumps(entry.details, ensure_ascii=False)) <= 2 * LONGEST_TRACEBACK  # escapes
    assert FailureGroup.objects.get().culprit == "engine/worker/test_attempt.py in with_traceback"


@pytest.mark.django_db
@pytest.mark.parametrize("error", [PermanentError, TransientError, Skip, ValueError])
@given(message=ANY)
def test_any_error_message_can_be_recorded(error: type[Exception], message: str) -> None:
    """Whatever characters it has."""
    job = Claimed("1", "EVENT_EXPIRATION", "c", "", {}, 5, 1, 2, NOW, "", "", 1, None, "", 1, NOW)
    ending = attempt.ending_of(job, with_traceback(error(message)), 1.0, now=NOW)

    assert fits_postgresql(ending.error + ending.outcome.reason + ending.traceback + (ending.details or ""))


@given(ANY, ANY)
def test_a_failure_is_recognised_whatever_its_text(error: str, traceback: str) -> None:
    """And what is kept of it can be stored."""
    assert len(fingerprint_of(f"X: {error}", traceback).message) <= 300


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ({"x": object()}, "cannot be stored: TypeError"),
        ({"x": {(1, 2): 3}}, "cannot be stored: TypeError"),
        ({"entity": "Riverton", "names": ["y" * 1000] * 100}, "too many to be stored"),
        ({str(n): "z" * 1000 for n in range(100)}, "too many to be stored"),
    ],
)
def test_a_result_that_cannot_be_stored_undoes_nothing(answer: dict[str, Any], note: str) -> None:
    """The job has SUCCEEDED, and its result says what is missing."""
    row, entry = end(answer, make_claimed())

    assert (row.state, entry.now, entry.error) == (State.SUCCEEDED, State.SUCCEEDED, "")
    result: dict[str, Any] = row.result or {}
    assert note in result["note"]
    assert result.get("entity") == answer.get("entity")


@pytest.mark.django_db
def test_a_result_keeps_what_it_can() -> None:
    """Deep values and texts that no database stores are replaced; one at the limit stays whole."""
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    odd = end({"name": "\ud83c\0", "n": 1}, make_claimed())[0].result
    whole = {"x": "y" * (LONGEST_RESULT - 8)}

    assert odd == {"name": "\ufffd\ufffd", "n": 1}
    assert end({"x": deep}, make_claimed())[0].state == State.SUCCEEDED
    assert end(whole, make_claimed())[0].result == whole


@pytest.mark.django_db
@pytest.mark.parametrize("failures", [0, 5])
def test_an_error_without_a_message_ends_its_attempt(failures: int) -> None:
    """It does not fail the cycle, with everything it was to record."""
    job = make_claimed()
    job.failures = failures
    row, _entry = end(with_traceback(Silent()), job)

    assert row.state in (State.RETRYING, State.DEAD)
    assert row.error == "RuntimeError: Silent, whose message cannot be read (RuntimeError)"


@given(st.lists(ANY, max_size=3))
@pytest.mark.django_db
def test_every_reason_is_cleaned_for_the_audit_trail(reasons: list[str]) -> None:
    """Whoever gives it: the ledger writes what can be stored."""
    for reason in reasons:
        job = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}), actor="test", reason=reason)[0]
        for entry in job.audit_trail.all():
            assert fits_postgresql(entry.reason)


@pytest.mark.django_db(transaction=True)
def test_stale_worker_changes_nothing(redis: Redis) -> None:
    """Given up as lost, it finishes late, finds another attempt and changes nothing."""
    job = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}), actor="test")[0]
    (stale,) = attempt.claim([str(job.id)], worker="stale", now=timezone.now())
    lost = Job.objects.get(pk=job.pk)
    attempt.record([attempt.ending_of(lost, OutcomeUnknown("lost"), 1, now=NOW)], actor="rescuer")
    run_now([Job.objects.get(pk=job.pk)], actor="test", reason="again")
    (current,) = attempt.claim([str(job.id)], worker="second", now=timezone.now())
    trail = AuditEntry.objects.filter(job=job).count()

    moved = attempt.record([attempt.ending_of(stale, {"late": True}, 9, now=NOW)], actor="worker:stale")

    job.refresh_from_db()
    assert moved == []
    assert (job.state, job.attempt, job.result) == ("RUNNING", current.attempt, None)
    assert AuditEntry.objects.filter(job=job).count() == trail


@pytest.mark.django_db(transaction=True)
def test_a_job_is_claimed_once(redis: Redis) -> None:
    """One of two workers with the same ID claims it."""
    job = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}), actor="test")[0]

    first = attempt.claim([str(job.id), str(job.id)], worker="a", now=timezone.now())
    second = attempt.claim([str(job.id)], worker="b", now=timezone.now())

    assert [len(first), len(second)] == [1, 0]
