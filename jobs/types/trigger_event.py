"""TRIGGER_EVENT: execute an event's effects when world time gets to it, and complete it, each once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Final, NoReturn

from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from msgspec import Meta

from jobs.errors import AwaitsAnswer, InvalidJob, MustWait, NotServed, PermanentError, Skip
from jobs.main_api.executing import EXECUTE
from jobs.main_api.expiring import EXPIRE
from jobs.main_api.model import Effect, Event
from jobs.main_api.triggering import COMPLETE
from jobs.registry import WORLD_TIME, Payload, job_type
from jobs.run import Run, Sender, Step
from jobs.states import Priority, StepState
from jobs.triggers.due import subject_of
from jobs.triggers.execution import (
    EventReading,
    Execution,
    as_repeatable,
    may_have_been_sent,
    read_event,
    unnamed_event,
)
from jobs.triggers.open_events import scheduled_at
from jobs.world.clock import WorldTime
from jobs.world.event_policies import EventAction
from scheduler_project.text import LONGEST_ID, is_id

LOOK_AGAIN: Final = timedelta(seconds=30)  #: how long a job waits for another one of its event


class TriggerEvent(Payload, frozen=True, kw_only=True):
    """Which event, and when it was scheduled when the job was submitted."""

    event_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
    scheduled_at: Annotated[
        str, Meta(max_length=40, description=gettext_noop("The event's world time."), extra_json_schema=WORLD_TIME)
    ]
    by_policy: Annotated[
        bool, Meta(description=gettext_noop("Do what the policy for the event says; otherwise trigger it."))
    ] = False
    again: Annotated[
        int, Meta(ge=0, le=1000, description=gettext_noop("Jobs before it that were skipped or have succeeded."))
    ] = 0

    def subject(self) -> str:
        return subject_of(self.event_id, self.again)

    def task(self) -> str:
        return gettext("Trigger event {}")

    def check(self) -> None:
        self.world_time_due()

    def world_time_due(self) -> WorldTime:
        """`scheduled_at`. Raises InvalidJob."""
        try:
            return WorldTime.parse(self.scheduled_at)
        except ValueError as error:
            raise InvalidJob("payload.scheduledAt", str(error)) from None


@job_type(
    "TRIGGER_EVENT",
    label=gettext_noop("Trigger event"),
    payload=TriggerEvent,
    priority=Priority.HIGH,
    idempotent=False,
    on_event=True,
)
def trigger(payload: TriggerEvent, run: Run) -> dict[str, Any]:
    """Execute the event's effects one after another, and complete it; or have the main API do both.

    What is to be sent is recorded before the first request, and how each ended before the next one: an attempt after a
    crash goes on there. As long as nothing can have been carried out, the event is judged anew.
    """
    reading = read_event(run, payload.event_id)
    steps = run.triggers.steps(run.job_id)
    if not any(may_have_been_sent(step) for step in steps):
        if not _is_open(reading) and _has_failed(steps):
            _report_refusals(payload.event_id, reading, steps, run)
        event = _check(reading.event, payload, run)
        if (sender := run.triggers.give_way(run.job_id, event)) is not None:
            _refuse(sender, event)
        if (why_not := _decide(event, payload, run)) is not None:
            return _expire(event, run, why_not)
        planned = run.triggers.plan(run.job_id, event, _plan(event, run))
        if isinstance(planned, Sender):
            _refuse(planned, event)
        steps = planned
    return Execution(run, payload.event_id, reading, steps).process()


def _is_open(reading: EventReading) -> bool:
    return reading.event is not None and not reading.event.is_completed


def _has_failed(steps: Sequence[Step]) -> bool:
    """Whether an effect has failed: this must be reported even if the event is completed by now."""
    return any(step.state is StepState.FAILED for step in steps)


def _report_refusals(event_id: str, reading: EventReading, steps: Sequence[Step], run: Run) -> NoReturn:
    """Report that all effects were refused, unless another job has triggered the event since. Nothing is sent."""
    event = reading.event or unnamed_event(event_id, run.campaign_id)
    if (sender := run.triggers.give_way(run.job_id, event)) is None:
        Execution(run, event_id, reading, steps).report_refusals()
    if not sender.has_ended:
        _refuse(sender, event)
    raise Skip(f"job {sender.job_id} has triggered event {event.name}")


def _check(event: Event | None, payload: TriggerEvent, run: Run) -> Event:
    """The current event, if it is due and still to be triggered. Raises Skip."""
    if event is None:
        raise Skip(f"event {payload.event_id} is gone, completed or not overdue any more")
    if event.campaign_id != run.campaign_id:
        raise PermanentError(f"event {payload.event_id} belongs to campaign {event.campaign_id[:LONGEST_ID]}")
    if event.is_completed:
        raise Skip(f"event {event.name} is completed")
    at = scheduled_at(event)
    if at is None:
        raise Skip(f"event {event.name} is no longer scheduled")
    due = payload.world_time_due()
    if at > due or (payload.by_policy and at != due):
        raise Skip(f"event {event.name} was moved to {at.isoformat()}: it gets a job for that time")
    return event


def _refuse(sender: Sender, event: Event) -> NoReturn:
    """Raise MustWait or PermanentError: this job might repeat what another one may have sent, or will send."""
    if not sender.has_ended:
        raise MustWait(f"job {sender.job_id} triggers event {event.name}", timezone.now() + LOOK_AGAIN)
    raise PermanentError(
        f"job {sender.job_id} may have sent effects of event {event.name}, and this job might repeat them: "
        "retry that job; where an outcome is unknown, its page asks whether it was executed"
    )


def _decide(event: Event, payload: TriggerEvent, run: Run) -> str | None:
    """None to trigger the event, or why it expires instead.

    An answer counts whatever the policy says by now, an open question does not. Raises AwaitsAnswer and Skip.
    """
    if not payload.by_policy:
        return None
    policy = run.triggers.policies([run.campaign_id]).of(run.campaign_id, event.event_type)
    answer = run.triggers.answer(run.job_id)
    if answer is not None:
        return None if answer[0] else f"answered no by {answer[1]}"
    if policy.action is EventAction.EXPIRE:
        raise Skip(f"the policy for event {event.name} is expire by now")
    if policy.action is EventAction.TRIGGER:
        return None
    deadline = run.triggers.ask(run.job_id, event, within=policy.answer_within, default=policy.default_answer)
    default = "yes" if policy.default_answer else "no"
    raise AwaitsAnswer(
        f"an operator is asked whether to trigger event {event.name}; without an answer: {default}", deadline
    )


def _expire(event: Event, run: Run, why: str) -> dict[str, Any]:
    """Complete the event without its effects, as EVENT_EXPIRATION does."""
    error = run.api.expire_events([event], key=run.job_id)[event.id]
    if error is not None:
        raise as_repeatable(error)
    return {"entity": event.name, "summary": f"{why}: the event has expired, and its effects were not executed"}


def _plan(event: Event, run: Run) -> list[Step]:
    """The steps to send. Where the main API lists no effects of an event, it runs them when it completes it.

    Where we execute them, the event is completed by expireEvent, which never runs any: a main API that keeps its
    contract and lists effects would run them twice.
    """
    try:
        effects = run.api.effects_of_event(event.id)
    except NotServed:
        return [Step(position=0, operation=COMPLETE)]
    steps = [_plan_effect(position, effect) for position, effect in enumerate(effects)]
    return [*steps, Step(position=len(steps), operation=EXPIRE)]


def _plan_effect(position: int, effect: Effect) -> Step:
    """One whose ID cannot be recorded has failed from the start: it costs only itself."""
    step = Step(position=position, operation=EXECUTE, name=effect.name, timing=effect.timing)
    if not effect.is_active:
        return replace(step, effect_id=effect.id if is_id(effect.id) else "", state=StepState.INACTIVE)
    if not is_id(effect.id):
        note = f"its ID is none: {effect.id!r:.100}"
        return replace(step, name=effect.name or "an effect", state=StepState.FAILED, note=note)
    return replace(step, effect_id=effect.id)
