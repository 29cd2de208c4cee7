"""Taking back: a job is as it was before, and only while it is as the action left it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import actions, service, undo
from jobs.engine.worker import attempt
from jobs.ledger import Move, moves
from jobs.models import Job, new_job_id
from jobs.service import Submission
from jobs.states import CANCELLABLE, MOVES, RESCHEDULABLE, WAITING, Priority, State
from tests.support.undoing import EFFECT, NEVER_APPLIED, a_job, act, columns, take_back

pytestmark = pytest.mark.django_db(transaction=True)
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


def test_a_job_that_came_back_to_the_same_state_was_moved_since(redis: Redis) -> None:
    """Rescheduled twice: the second is taken back, and the first does not say that the job is scheduled."""
    job = a_job(State.SCHEDULED)
    first, second = (act("reschedule", job, due_at=timezone.now() + timedelta(days=n))[0] for n in (1, 2))
    take_back(second)

    by = actions.begin("reschedule", actor="user:bob", undoes=first)
    report = undo.undo(first, list(first.entries.all()), actor="user:bob", reason="", action=by)

    assert dict(report.skipped) == {"moved since": 1}


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
