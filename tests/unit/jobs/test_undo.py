"""Taking back: a job is as it was before, and only while it is as the action left it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from jobs import actions, service, undo
from jobs.engine.worker import attempt
from jobs.ledger import Move, moves
from jobs.models import AuditEntry, Job, JobAction, WorldStop, new_job_id
from jobs.service import Report, Submission
from jobs.states import CANCELLABLE, DISCARDABLE, MOVES, RESCHEDULABLE, RETRYABLE, WAITING, Priority, State
from jobs.stops import AT_WORLD_TIME

pytestmark = pytest.mark.django_db(transaction=True)
NEVER_APPLIED = "EVENT_EXPIRATION"
EFFECT = "DEFERRED_EFFECT"
KEPT = ("state", "due_at", "first_due_at", "failures", "attempt", "error", "finished_at", "priority")


def a_job(state: State, *, due: timedelta = timedelta(hours=1), **changes: Any) -> Job:
    """A job as a worker or an operator left it."""
    now = timezone.now()
    job = Job(
        pk=new_job_id(),
        type=NEVER_APPLIED,
        campaign_id="c-1",
        unique_key=str(new_job_id()),
        state=state,
        due_at=now + due,
        first_due_at=now - timedelta(days=1),
        attempt=2,
        failures=2 if state in (State.RETRYING, State.DEAD) else 0,
        error="HTTP 500" if state in (State.RETRYING, State.DEAD) else "",
        finished_at=now - timedelta(hours=2) if state is State.DEAD else None,
        source="test",
    )
    for name, value in changes.items():
        setattr(job, name, value)
    job.save(force_insert=True)
    return Job.objects.get(pk=job.pk)


def columns(job: Job) -> dict[str, Any]:
    stored = Job.objects.get(pk=job.pk)
    return {name: getattr(stored, name) for name in KEPT}


def act(verb: str, *jobs: Job, **more: Any) -> tuple[JobAction, Report]:
    """One action of ann's, as the pages record it."""
    commands: dict[str, Callable[..., Report]] = {
        "cancel": service.cancel,
        "discard": service.discard,
        "reschedule": service.reschedule,
        "retry": service.retry,
        "run_now": service.run_now,
        "restore": undo.restore,
    }
    action = actions.begin(verb, actor="user:ann")
    return action, commands[verb](list(jobs), actor="user:ann", reason="", action=action, **more)


def take_back(action: JobAction) -> Report:
    by = actions.begin(action.verb, actor="user:bob", undoes=action)
    return undo.undo(action, list(action.entries.all()), actor="user:bob", reason="", action=by)


ALLOWED = {
    "cancel": CANCELLABLE,
    "discard": (State.DEAD,),
    "reschedule": RESCHEDULABLE,
    "retry": (State.DEAD,),
    "run_now": WAITING,
}


@pytest.mark.parametrize(("verb", "state"), [(verb, state) for verb, states in ALLOWED.items() for state in states])
def test_every_action_is_undone_as_it_was(redis: Redis, verb: str, state: State) -> None:
    """State, due time, failures, error and end."""
    job = a_job(state)
    before = columns(job)
    more = {"due_at": timezone.now() + timedelta(days=3)} if verb == "reschedule" else {}

    action, _ = act(verb, job, **more)
    left = columns(job)
    report = take_back(action)

    assert left != before
    assert [one.pk for one in report.done] == [job.pk]
    assert columns(job) == before


@pytest.mark.parametrize("verb", [*ALLOWED, "restore"])
@pytest.mark.parametrize("job_type", [NEVER_APPLIED, EFFECT])
def test_retries_and_early_runs_of_effects_are_never_undone(redis: Redis, verb: str, job_type: str) -> None:
    """They may be on their way; everything else can be."""
    state = State.CANCELLED if verb == "restore" else ALLOWED[verb][0]
    job = a_job(state, type=job_type)
    if verb == "restore":
        job = a_job(State.SCHEDULED, type=job_type)
        act("cancel", job)
    more = {"due_at": timezone.now() + timedelta(days=3)} if verb == "reschedule" else {}
    action, _ = act(verb, Job.objects.get(pk=job.pk), **more)
    final = job_type == EFFECT and verb in ("retry", "run_now")

    offered = undo.find_open([action])
    report = take_back(action)

    assert offered == (set() if final else {action.pk})
    assert (len(report.done), dict(report.skipped)) == ((0, {"an effect on its way": 1}) if final else (1, {}))


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


def test_only_what_is_as_it_was_left_is_undone(redis: Redis) -> None:
    """Of a bulk action: one job was claimed since, one was changed, one is gone; the rest goes back."""
    jobs = [a_job(State.DEAD) for _ in range(4)]
    action, _ = act("retry", *jobs)
    attempt.claim([str(jobs[0].pk)], worker="w", now=timezone.now())
    service.cancel([Job.objects.get(pk=jobs[1].pk)], actor="user:eve", reason="")
    entries = list(action.entries.all())
    Job.objects.get(pk=jobs[2].pk).delete()

    by = actions.begin("retry", actor="user:bob", undoes=action)
    report = undo.undo(action, entries, actor="user:bob", reason="", action=by)

    assert [job.pk for job in report.done] == [jobs[3].pk]
    assert dict(report.skipped) == {"RUNNING by now": 1, "CANCELLED by now": 1, "deleted": 1}
    assert take_back(action).done == []  # a second press


def test_an_undo_can_be_undone(redis: Redis) -> None:
    """Cancelled, restored, and cancelled again."""
    job = a_job(State.RETRYING)
    action, _ = act("cancel", job)
    cancelled = columns(job)
    by = actions.begin("cancel", actor="user:bob", undoes=action)
    undo.undo(action, list(action.entries.all()), actor="user:bob", reason="", action=by)

    take_back(by)

    assert columns(job) == cancelled


def test_a_submission_is_undone_by_a_cancel(redis: Redis) -> None:
    action = actions.begin("submit", actor="user:ann")
    due = timezone.now() + timedelta(hours=1)
    submission = Submission(type=NEVER_APPLIED, campaign_id="c-1", payload={}, due_at=due)
    job, _ = service.submit(submission, actor="user:ann", action=action)

    take_back(action)

    job.refresh_from_db()
    assert (job.state, job.due_at, job.finished_at is None) == (State.CANCELLED, due, False)


def test_a_changed_priority_is_undone(redis: Redis) -> None:
    """Whoever changes it: the entry keeps what it was."""
    job = a_job(State.SCHEDULED, priority=Priority.LOW)
    action = actions.begin("reschedule", actor="user:ann")
    moves.move_many(
        [Move(job, State.SCHEDULED, "", {"priority": Priority.HIGH.value})], actor="user:ann", action=action
    )
    assert action.entries.get().details == {"changes": {"priority": [1, 8]}}

    take_back(action)

    assert columns(job)["priority"] == Priority.LOW


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


@pytest.mark.parametrize("to", State)
@pytest.mark.parametrize("was", State)
def test_only_moves_between_attempts_go_back(was: State, to: State) -> None:
    """No attempt's start or end is taken back."""
    now = timezone.now()
    job = a_job(was, lease_until=now)

    moved = moves.move_many([Move(job, to, "", goes_back=True)], actor="test")

    backwards = was in MOVES[to] and State.RUNNING not in (was, to)
    assert bool(moved) == (backwards or to in MOVES[was])


def test_steps_are_of_one_action_if_they_say_the_same() -> None:
    """Nobody adds to another's, and a form that is corrected and sent again is an action of its own."""
    of = new_job_id()
    said: dict[str, Any] = {"verb": "reschedule", "actor": "user:ann", "reason": "", "due_at": timezone.now()}
    first = actions.begin(**said, step_of=of)

    assert actions.begin(**said, step_of=of) == first
    others: list[dict[str, Any]] = [{"actor": "user:bob"}, {"verb": "cancel"}, {"reason": "x"}, {"due_at": None}]
    assert first not in [actions.begin(**{**said, **other}, step_of=of) for other in others]
    assert actions.begin(**said, step_of=new_job_id()) != first


def test_moments_survive_the_audit_trail(redis: Redis) -> None:
    """To the microsecond, as both databases keep them."""
    due = datetime(2031, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone.get_default_timezone())
    job = a_job(State.SCHEDULED, due_at=due)
    action, _ = act("reschedule", job, due_at=timezone.now() + timedelta(days=1))

    take_back(action)

    assert columns(job)["due_at"] == due


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


def test_an_undone_copy_keeps_its_own_values(redis: Redis) -> None:
    """What its first entry names as changed are the original's."""
    original = a_job(State.DEAD, priority=Priority.LOW)
    submission = Submission(type=NEVER_APPLIED, campaign_id="c-1", payload={}, subject="copy", priority="CRITICAL")
    action = actions.begin("submit", actor="user:ann")
    copy, _ = service.submit_copy(submission, of=original, actor="user:ann", reason="", action=action)
    before = columns(copy)
    take_back(action)

    after = columns(copy)
    assert after["state"] == State.CANCELLED
    assert {name: after[name] for name in ("due_at", "priority")} == {n: before[n] for n in ("due_at", "priority")}
