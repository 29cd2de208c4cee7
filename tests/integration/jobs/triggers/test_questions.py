"""Questions about events: the job waits for the answer, and the first one counts."""

from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.utils import timezone

from jobs import service
from jobs.engine.scheduler.purge import purge
from jobs.engine.worker import attempt
from jobs.errors import StateConflict
from jobs.models import EventQuestion, OperatorAction, TriggerStep, new_job_id
from jobs.run import Step
from jobs.states import State
from jobs.triggers import questions, steps
from tests.support.effects import claim, run
from tests.support.events import EVENT, ask_operator, event_named, executions, is_completed
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_job_waits_and_costs_no_attempt(sandbox: SandboxApi) -> None:
    """It is due again at the deadline; asking again changes nothing."""
    job = ask_operator(sandbox, minutes=90)
    question = questions.of_job(job.pk)

    assert question is not None
    assert (job.state, job.failures, executions(sandbox)) == (State.RETRYING, 0, [])
    assert timedelta(0) <= job.due_at - question.deadline < timedelta(seconds=5)
    assert (question.event_id, question.event_type, question.default_answer) == (EVENT, "story", False)
    service.run_now([job], actor="user:ann", reason="too early")
    assert run(job).state == State.RETRYING
    assert EventQuestion.objects.get().deadline == question.deadline


@pytest.mark.parametrize("yes", [True, False])
def test_an_answer_is_carried_out_at_once(sandbox: SandboxApi, yes: bool) -> None:
    """Yes: its effects are executed. No: it expires without them. The audit trail says who."""
    job = ask_operator(sandbox)
    questions.answer(job.pk, yes=yes, actor="user:olga", reason="the players wait")
    job.refresh_from_db()
    assert job.state == State.QUEUED
    job = run(job)

    assert (job.state, is_completed(sandbox), len(executions(sandbox))) == (
        State.SUCCEEDED,
        True,
        2 if yes else 0,
    )
    assert job.result is not None
    assert ("answered no by user:olga" in job.result["summary"]) is not yes
    action = OperatorAction.objects.get(verb="answered")
    assert (action.actor, action.reason) == ("user:olga", "the players wait")
    assert action.changes == {"trigger": [None, "yes" if yes else "no"]}
    with pytest.raises(StateConflict, match="no longer waits"):
        questions.answer(job.pk, yes=not yes, actor="user:ann")


def test_only_the_first_answer_counts(sandbox: SandboxApi) -> None:
    job = ask_operator(sandbox)
    questions.answer(job.pk, yes=False, actor="user:olga")

    with pytest.raises(StateConflict, match="answered already"):
        questions.answer(job.pk, yes=True, actor="user:ann")
    assert questions.find_answered(9)[0].answered_by == "user:olga"


def test_an_answer_is_not_stored_where_nobody_would_look_at_it(sandbox: SandboxApi) -> None:
    """The job is running, and has found no answer. One that is queued looks for it when it runs."""
    job = ask_operator(sandbox)
    service.run_now([job], actor="test", reason="it looks once more")
    running = claim(job)
    with pytest.raises(StateConflict, match="asks at this moment"):
        questions.answer(job.pk, yes=True, actor="user:olga")
    assert questions.find_open(9) != []
    assert not OperatorAction.objects.filter(verb="answered").exists()

    attempt.record(attempt.run_handler([running]), actor="worker:w", worker="w")
    job.refresh_from_db()
    service.run_now([job], actor="test", reason="and once more")
    questions.answer(job.pk, yes=True, actor="user:olga")
    assert run(job).state == State.SUCCEEDED


@pytest.mark.parametrize("default", [True, False])
def test_the_default_counts_from_the_deadline_on(sandbox: SandboxApi, default: bool) -> None:
    """It is recorded as the answer."""
    job = ask_operator(sandbox, default=default)
    EventQuestion.objects.update(deadline=timezone.now() - timedelta(seconds=1))
    service.run_now([job], actor="scheduler", reason="due")

    assert run(job).state == State.SUCCEEDED
    assert len(executions(sandbox)) == (2 if default else 0)
    question = EventQuestion.objects.get()
    assert (question.answer, question.answered_by) == (default, questions.DEADLINE)


def test_a_cancelled_job_asks_no_more(sandbox: SandboxApi) -> None:
    job = ask_operator(sandbox)
    assert questions.count_open(9) == 1
    service.cancel([job], actor="user:ann", reason="never mind")

    assert questions.find_open(9) == []
    with pytest.raises(StateConflict, match="no longer waits"):
        questions.answer(job.pk, yes=True, actor="user:ann")


def test_retention_keeps_what_a_job_may_need(sandbox: SandboxApi, settings: Any) -> None:
    """Of one that is still there, however old: it must not send twice."""
    job = ask_operator(sandbox)
    questions.answer(job.pk, yes=True, actor="user:olga")
    job = run(job)
    gone = new_job_id()
    steps.plan(str(gone), event_named(EVENT), [Step(position=0, operation="completeEvent")])
    EventQuestion.objects.create(job_id=gone, deadline=timezone.now(), default_answer=False)
    old = timezone.now() - settings.RETENTION - timedelta(minutes=1)
    TriggerStep.objects.update(moved_at=old)
    EventQuestion.objects.update(asked_at=old)
    purge(timezone.now() - settings.RETENTION, Event())

    assert set(TriggerStep.objects.values_list("job_id", flat=True)) == {job.pk}
    assert list(EventQuestion.objects.values_list("job_id", flat=True)) == [job.pk]
