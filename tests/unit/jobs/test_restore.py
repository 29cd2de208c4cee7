"""Restoring cancelled and discarded jobs, and the due time with which a job was submitted."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from jobs import service, undo
from jobs.ledger import moves
from jobs.models import AuditEntry, Job, WorldStop
from jobs.service import Submission
from jobs.states import DISCARDABLE, RETRYABLE, State
from jobs.stops import AT_WORLD_TIME
from tests.support.undoing import EFFECT, NEVER_APPLIED, a_job, act, columns, take_back

pytestmark = pytest.mark.django_db(transaction=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    state=st.sampled_from(DISCARDABLE),
    due=st.timedeltas(timedelta(days=-300), timedelta(days=3000)),
    applied=st.booleans(),
    failures=st.integers(0, 9),
)
def test_cancelled_then_restored_is_as_it_was(
    redis: Redis, state: State, due: timedelta, applied: bool, failures: int
) -> None:
    """Whatever it waited for; what may have been applied is queued by the scheduler, not by the restore."""
    job = a_job(state, due=due, may_have_been_applied=applied, failures=failures)
    before = columns(job)

    withdrawn = service.cancel([job], actor="user:ann", reason="") if service.may_cancel(job) else None
    withdrawn = withdrawn or service.discard([job], actor="user:ann", reason="")
    restored = undo.restore([Job.objects.get(pk=job.pk)], actor="token:t", reason="")

    assert (len(withdrawn.done), len(restored.done)) == (1, 1)
    if state is State.QUEUED and applied:
        before["state"] = State.RETRYING
    assert columns(job) == before
    assert restored.due == (state is not State.DEAD and job.due_at <= timezone.now())


def test_a_restored_job_waits_in_redis_again(redis: Redis) -> None:
    """Until its due time; one that is due by now is queued by the scheduler at once."""
    later, due = a_job(State.SCHEDULED, due=timedelta(seconds=30)), a_job(State.SCHEDULED, due=timedelta(seconds=-5))
    jobs = service.cancel([later, due], actor="user:ann", reason="").done

    report = undo.restore(jobs, actor="user:ann", reason="")
    queued = moves.queue_due([str(job.pk) for job in jobs], actor="scheduler", reason="due", now=timezone.now())

    assert (len(report.done), report.due) == (2, 1)
    assert [job.id for job in queued] == [str(due.pk)]


def test_a_restore_is_no_decision_to_send_an_effect_again(redis: Redis) -> None:
    """Its attempt of unknown outcome still stands: only a retry says that it may be sent again."""
    job = a_job(State.QUEUED, type=EFFECT, may_have_been_applied=True)
    service.discard([job], actor="user:ann", reason="")

    undo.restore([job], actor="user:ann", reason="")

    decided = AuditEntry.objects.filter(job=job, was__in=RETRYABLE, now=State.QUEUED)
    assert not decided.exists()


def test_without_the_permission_no_discarded_job_is_restored(redis: Redis) -> None:
    cancelled, discarded = a_job(State.QUEUED), a_job(State.DEAD)
    service.cancel([cancelled], actor="user:ann", reason="")
    service.discard([discarded], actor="user:ann", reason="")

    report = undo.restore([cancelled, discarded], actor="user:bob", reason="", discarded=False)

    assert (len(report.done), dict(report.skipped)) == (1, {"discarded": 1})


@pytest.mark.parametrize("verb", ["retry", "run_now", "reschedule"])
def test_the_first_due_time_is_never_lost(redis: Redis, verb: str) -> None:
    """Whatever changes the due time afterwards."""
    due = timezone.now() + timedelta(hours=1)
    job, _ = service.submit(Submission(type=NEVER_APPLIED, campaign_id="c-1", payload={}, due_at=due), actor="user:ann")
    if verb == "retry":
        service.cancel([job], actor="user:ann", reason="")
    more = {"due_at": due + timedelta(days=1)} if verb == "reschedule" else {}

    act(verb, job, **more)

    job.refresh_from_db()
    assert job.due_at != due
    assert job.first_due_at == due


def test_a_job_that_the_release_before_stored_keeps_its_due_time_too(redis: Redis) -> None:
    """It has no first due time; until its first attempt its due time is that."""
    new, tried = a_job(State.SCHEDULED, first_due_at=None, attempt=0), a_job(State.SCHEDULED, first_due_at=None)
    due = new.due_at

    act("reschedule", new, tried, due_at=timezone.now() + timedelta(days=3))

    assert [columns(job)["first_due_at"] for job in (new, tried)] == [due, None]


def test_a_restored_world_time_stops_the_world_again(redis: Redis) -> None:
    """Cancelled or run early, its stop was gone."""
    payload = {"effectId": "e-1", "executeAtWorldTime": "1001-06-01T12:00:00Z"}
    job, _ = service.submit(Submission(type=EFFECT, campaign_id="c-1", payload=payload), actor="test")
    placed = WorldStop.objects.values_list("campaign_id", "at", "job_id", "phase").get()
    service.cancel([job], actor="user:ann", reason="")
    assert not WorldStop.objects.exists()

    report = undo.restore([job], actor="user:ann", reason="")

    assert (job.state, job.due_at, report.due) == (State.SCHEDULED, AT_WORLD_TIME, 0)
    assert WorldStop.objects.values_list("campaign_id", "at", "job_id", "phase").get() == placed


@pytest.mark.parametrize("verb", ["cancel", "discard"])
def test_a_restore_after_an_undone_retry_is_that_of_the_first_action(redis: Redis, verb: str) -> None:
    """With the due time that it had then; a discarded job still takes the permission to discard."""
    job = a_job(State.SCHEDULED if verb == "cancel" else State.DEAD, due=timedelta(days=300))
    before = columns(job)
    act(verb, job)
    retried, _ = act("retry", Job.objects.get(pk=job.pk))
    assert len(take_back(retried).done) == 1
    if verb == "discard":
        refused = undo.restore([Job.objects.get(pk=job.pk)], actor="user:ann", reason="", discarded=False)
        assert refused.skipped == {"discarded": 1}

    act("restore", Job.objects.get(pk=job.pk))

    assert columns(job) == before
