"""What is sent to trigger an event: of several jobs of one event, one goes on."""

from dataclasses import replace
from threading import Barrier, Thread

import pytest
from django.db import connection

from jobs.models import Job, TriggerStep
from jobs.run import Sender, Step
from jobs.states import State, StepState
from jobs.triggers import steps
from jobs.triggers.execution import may_have_been_sent
from tests.support.events import event_named, trigger_job

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis")]
AT_ONCE = 4
PLAN = [Step(position=0, operation="executeEffect", effect_id="e"), Step(position=1, operation="expireEvent")]


def trigger_jobs(count: int) -> list[Job]:
    """Jobs of one event, as by several people."""
    return [trigger_job(again=number) for number in range(count)]


def test_of_jobs_that_plan_at_once_one_goes_on() -> None:
    """The others name it and have no plan."""
    for number in range(5):
        event = event_named(f"event-{number}")
        jobs = [trigger_job(event.id, again=again) for again in range(AT_ONCE)]
        begin = Barrier(AT_ONCE)
        planned: dict[str, object] = {}

        def plan(job: Job, begin: Barrier = begin, planned: dict[str, object] = planned) -> None:
            begin.wait()
            planned[str(job.pk)] = steps.plan(str(job.pk), event_named(job.payload["eventId"]), PLAN)
            connection.close()

        threads = [Thread(target=plan, args=[job]) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        (first,) = [job_id for job_id, found in planned.items() if not isinstance(found, Sender)]
        others = [found for found in planned.values() if isinstance(found, Sender)]
        assert others == [Sender(first, has_ended=False)] * (AT_ONCE - 1)
        assert {str(row.job_id) for row in TriggerStep.objects.filter(event_id=event.id)} == {first}


def test_a_plan_of_which_nothing_was_sent_gives_way() -> None:
    """Its job had ended, another one planned, and an operator retried it: none sends what the other does."""
    event, (first, second) = event_named("event-1-2"), trigger_jobs(2)
    steps.plan(str(first.pk), event, PLAN)
    assert steps.plan(str(second.pk), event, PLAN) == Sender(str(first.pk), has_ended=False)

    Job.objects.filter(pk=first.pk).update(state=State.DEAD)
    assert steps.plan(str(second.pk), event, PLAN) == PLAN
    Job.objects.filter(pk=first.pk).update(state=State.QUEUED)

    assert steps.give_way(str(first.pk), event) == Sender(str(second.pk), has_ended=False)
    assert steps.find(str(first.pk)) == []
    assert steps.give_way(str(second.pk), event) is None
    assert steps.plan(str(second.pk), event, PLAN) == PLAN


def test_the_first_plan_of_a_job_stays() -> None:
    """Whatever the event's effects are by the next attempt: two plans in one would lose some of each."""
    event, (job,) = event_named("event-1-2"), trigger_jobs(1)
    steps.plan(str(job.pk), event, PLAN)
    longer = [PLAN[0], Step(position=1, operation="executeEffect", effect_id="f"), Step(position=2, operation="x")]

    assert steps.plan(str(job.pk), event, longer) == PLAN
    assert steps.find(str(job.pk)) == PLAN


@pytest.mark.parametrize("was_unknown", [False, True, None])
@pytest.mark.parametrize("is_applied", [False, True])
@pytest.mark.parametrize("state", StepState)
def test_what_may_have_been_sent_is_named_after_its_job_has_ended(
    state: StepState, is_applied: bool, was_unknown: bool | None
) -> None:
    """An operator decides there whether the rest is sent. Of a step that has begun, the job's own record tells.

    A refusal is no clear word about an earlier request; a release before (None) did not record whether there was one.
    """
    event, (first, second) = event_named("event-1-2"), trigger_jobs(2)
    steps.plan(str(first.pk), event, PLAN)
    TriggerStep.objects.filter(job_id=first.pk, position=0).update(state=state, was_unknown=was_unknown)
    Job.objects.filter(pk=first.pk).update(state=State.DEAD, may_have_been_applied=is_applied)
    unsent = {StepState.PLANNED} | (set() if is_applied else {StepState.SENDING})
    unsent |= {False: {StepState.FAILED, StepState.INACTIVE}, None: {StepState.INACTIVE}}.get(was_unknown, set())

    first_step = steps.resume(str(first.pk))[0]
    assert first_step.state is {StepState.SENDING: StepState.UNKNOWN if is_applied else StepState.PLANNED}.get(
        state, state
    )
    assert may_have_been_sent(first_step) is (state not in unsent)
    named = Sender(str(first.pk), has_ended=True)
    assert steps.plan(str(second.pk), event, PLAN) == (PLAN if state in unsent else named)


@pytest.mark.parametrize("was", [StepState.PLANNED, StepState.UNKNOWN, StepState.FAILED])
def test_only_the_attempt_that_began_a_step_takes_it_back(was: StepState) -> None:
    """A late one leaves it to the newer one; the note of before stays."""
    event, (job,) = event_named("event-1-2"), trigger_jobs(1)
    steps.plan(str(job.pk), event, PLAN)
    steps.begin(str(job.pk), 0, 1)
    steps.end(str(job.pk), 0, 1, was, "why")
    steps.begin(str(job.pk), 0, 2)
    steps.take_back(str(job.pk), 0, 1, was)
    assert steps.find(str(job.pk))[0].state is StepState.SENDING

    steps.take_back(str(job.pk), 0, 2, was)
    assert steps.find(str(job.pk))[0] == replace(PLAN[0], state=was, note="why", was_unknown=was is StepState.UNKNOWN)
