"""Sends the steps by which an event is triggered, each once, and says how they ended."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, NoReturn

from django.utils import timezone

from jobs.errors import (
    Inactive,
    JobError,
    MustWait,
    NotAuthorized,
    NotServed,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from jobs.main_api.executing import EXECUTE
from jobs.main_api.model import Event
from jobs.main_api.triggering import COMPLETE
from jobs.registry import type_on_event
from jobs.run import Run, Step
from jobs.slices import SliceBudget
from jobs.states import StepState

MOST_STEPS: Final = 10_000  #: per attempt; its time is what counts
MOST_NAMED: Final = 5  #: failed effects quoted in an error
_OPEN: Final = frozenset({StepState.PLANNED, StepState.UNKNOWN})


class EventReading(NamedTuple):
    """The event as it was read at the attempt's start."""

    event: Event | None
    is_sure: bool  #: False: only overdue events are listed, and one that is not may be completed, or be due later


def may_have_been_sent(step: Step) -> bool:
    """Whether a request of the step may have been carried out before this attempt, as `steps.find_sender` says.

    That an effect has failed, or is inactive, is the main API's clear word that it was not, unless an earlier request
    of it was not answered clearly.
    """
    if step.operation != EXECUTE or step.state not in (StepState.INACTIVE, StepState.FAILED):
        return step.state is not StepState.PLANNED
    return bool(step.effect_id) and (step.was_unknown or (step.was_unknown is None and step.state is StepState.FAILED))


def as_repeatable(error: JobError) -> JobError:
    """The error of a request that may be sent again: nobody needs to decide about an unknown outcome either."""
    return TransientError(str(error)) if isinstance(error, OutcomeUnknown) else error


def read_event(run: Run, event_id: str) -> EventReading:
    """The event as it is now."""
    try:
        return EventReading(run.api.event(event_id), is_sure=True)
    except NotServed:
        overdue = run.api.overdue_events([run.campaign_id])[run.campaign_id]
        if isinstance(overdue, JobError):
            raise overdue from None
        found = next((event for event in overdue if event.id == event_id), None)
        if found is None:
            overdue.whole()  # raises if it may be the one that cannot be read
        return EventReading(found, is_sure=False)


def unnamed_event(event_id: str, campaign_id: str) -> Event:
    """An event that could not be read, for requests and texts."""
    return Event(id=event_id, campaign_id=campaign_id, name=event_id, event_type="", is_completed=False)


class Execution:
    """One attempt: it begins where the last one ended, and stops at the first step whose outcome is unknown.

    Whether that may be sent again is decided by the job's own record of sending: after an operator's retry, or as
    EFFECT_UNKNOWN_OUTCOME says.
    """

    def __init__(self, run: Run, event_id: str, reading: EventReading, steps: Sequence[Step]) -> None:
        self._run = run
        self._event_id = event_id
        self._event = reading.event
        self._is_sure = reading.is_sure
        self._effects = list(steps[:-1])
        self._completion = steps[-1]
        self._budget = SliceBudget(type_on_event(), MOST_STEPS)

    def process(self) -> dict[str, Any]:
        """Send what is left, and return the job's result.

        Raises PermanentError if an effect has failed: the others were executed all the same, and the event is
        completed. A retry then sends those that have failed. Raises MustWait when the time for one attempt is used up.
        """
        again = self._completion.state not in _OPEN
        if not again:
            self._see_whether_completed()
        for number, step in enumerate(self._effects):
            if step.state in _OPEN or (again and step.state is StepState.FAILED):
                self._effects[number] = self._execute(step)
                self._stop_in_time()
        if self._completion.operation == COMPLETE:
            return self._completed()
        if self._completion.state in _OPEN:
            self._finish()
        return self._result()

    def _stop_in_time(self) -> None:
        """Leave the rest to another attempt, which costs none: one that runs into its limit would not know its end."""
        if self._budget.spent:
            raise MustWait(f"{self._summary()}; the next attempt goes on", timezone.now())

    def _see_whether_completed(self) -> None:
        """The event may have been completed by a request of ours whose answer was lost, or by others."""
        if self._event is not None and not self._event.is_completed:
            return
        left = sum(step.state in _OPEN for step in self._effects)
        if left:
            others = "others have completed or removed it" if self._is_sure else "it is not listed as overdue any more"
            raise PermanentError(
                f"event {self._event_id}: {others}, so no more of its effects are sent: "
                f"{self._summary()}, {left} not sent"
            )
        if not self._is_sure and not may_have_been_sent(self._completion):
            return  # it may have been moved: it is completed now
        note = "the event is completed" if self._is_sure else "the event is no longer overdue: it counts as completed"
        if self._completion.operation == COMPLETE:
            note += "; how many of its effects were executed is unknown"
        self._end_completion(note)

    def _end_completion(self, note: str) -> None:
        """It is done. If it was by a request of ours, a retry then sends the effects that have failed."""
        self._run.triggers.take_over(self._run.job_id, self._completion.position, self._run.attempt)
        self._completion = self._end(self._completion, StepState.DONE, note)

    def _execute(self, step: Step) -> Step:
        if not step.effect_id:  # its ID could not be recorded
            return step
        part = self._run.sending.part()
        key = f"{self._run.job_id}:{step.position}"
        try:
            self._send(step, lambda: self._run.api.execute_effect(step.effect_id, key=key, sending=part))
        except (NotAuthorized, OutcomeUnknown):
            raise
        except Inactive:
            state, note = StepState.INACTIVE, ""
        except PermanentError as refused:
            state, note = StepState.FAILED, str(refused)
        else:
            state, note = StepState.DONE, ""
        return self._end(step, state, note)

    def _completed(self) -> dict[str, Any]:
        """Have the main API run the effects and complete the event; it never does so twice."""
        step = self._completion
        if step.state in _OPEN:
            step = self._complete(step)
        if step.state is StepState.FAILED:
            raise PermanentError(
                f"{step.note} of event {self._name}, which is completed: the main API names no culprit"
            )
        return {"entity": self._name, "summary": step.note}

    def _complete(self, step: Step) -> Step:
        """The step as it ended: FAILED if the event is completed, and an effect of it has failed."""
        part, key = self._run.sending.part(), self._run.job_id
        try:
            done = self._send(step, lambda: self._run.api.complete_event(self._event_id, key=key, sending=part))
        except OutcomeUnknown:
            if not self._was_completed():
                raise
            return self._end(step, StepState.DONE, "the event is completed; how many effects ran is unknown")
        if done.was_completed:
            return self._end(step, StepState.DONE, "the event was completed already")
        state = StepState.DONE if done.succeeded >= done.total else StepState.FAILED
        return self._end(step, state, f"{done.succeeded} of {done.total} effects executed")

    def _was_completed(self) -> bool:
        """Whether the event is completed now; False if that cannot be read either."""
        try:
            event = read_event(self._run, self._event_id).event
        except JobError:
            return False
        return event is None or event.is_completed

    def _finish(self) -> None:
        """Complete the event without running its effects; safe to send again."""
        step, run = self._completion, self._run
        run.sending.check()
        run.triggers.begin(run.job_id, step.position, run.attempt)
        event = self._event or unnamed_event(self._event_id, run.campaign_id)
        error = run.api.expire_events([event], key=run.job_id)[event.id]
        if error is not None and not isinstance(error, OutcomeUnknown):
            run.triggers.take_back(run.job_id, step.position, run.attempt, step.state)
        if isinstance(error, PermanentError):
            raise type(error)(f"{self._summary()}, but event {self._name} could not be completed: {error}")
        if error is not None:
            raise as_repeatable(error)
        self._end(step, StepState.DONE, "")

    def _send(self, step: Step, send: Callable[[], Any]) -> Any:
        """Send a step that must not be repeated. If it is clearly not done, it is as before, and nothing is open."""
        run = self._run
        run.triggers.begin(run.job_id, step.position, run.attempt, again=step.state is StepState.UNKNOWN)
        try:
            return send()
        except OutcomeUnknown as unknown:
            run.triggers.end(run.job_id, step.position, run.attempt, StepState.UNKNOWN, str(unknown))
            raise
        except JobError:
            run.sending.close()
            run.triggers.take_back(run.job_id, step.position, run.attempt, step.state)
            raise

    def _end(self, step: Step, state: StepState, note: str) -> Step:
        self._run.triggers.end(self._run.job_id, step.position, self._run.attempt, state, note)
        self._run.sending.close()
        return replace(step, state=state, note=note)

    def _result(self) -> dict[str, Any]:
        if any(step.state is StepState.FAILED for step in self._effects):
            raise PermanentError(self._describe_failures("which is completed"))
        effects = [
            {"effect": step.name or step.effect_id, "timing": step.timing, "outcome": step.state.value}
            for step in self._effects
        ]
        return {"entity": self._name, "summary": f"{self._summary()}, event completed", "effects": effects}

    def report_refusals(self) -> NoReturn:
        """All effects were refused, and the event is not open: somebody must hear of that. Raises PermanentError.

        An event that is not listed as overdue may have been moved: it is not completed.
        """
        if self._event is not None:
            self._end_completion("the event is completed")
        gone = "which is gone" if self._is_sure else "which is not listed as overdue any more"
        raise PermanentError(self._describe_failures("which is completed" if self._event else gone))

    def _describe_failures(self, event_state: str) -> str:
        failed = [step for step in self._effects if step.state is StepState.FAILED]
        named = "; ".join(f"{step.name or step.effect_id}: {step.note}" for step in failed[:MOST_NAMED])
        return f"{self._summary()} of event {self._name}, {event_state}. Failed: {named}"

    @property
    def _name(self) -> str:
        return self._event.name if self._event else self._event_id

    def _summary(self) -> str:
        """How many effects were executed, such as "2 of 3 effects executed, 1 inactive"."""
        states = [step.state for step in self._effects]
        inactive = states.count(StepState.INACTIVE)
        text = f"{states.count(StepState.DONE)} of {len(states) - inactive} effects executed"
        return f"{text}, {inactive} inactive" if inactive else text
