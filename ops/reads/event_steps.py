"""What a job has sent to trigger an event, as its page shows it."""

from typing import Any, Final, NamedTuple

from jobs.models import Job
from jobs.run import Step
from jobs.states import ENDED, State, StepState
from jobs.triggers import questions, steps
from jobs.triggers.execution import EXECUTE
from ops.reads.event_questions import describe

_LOOKS: Final = {
    StepState.PLANNED: ("not sent", "schedule", "muted"),
    StepState.SENDING: ("sending", "autorenew", "busy"),
    StepState.DONE: ("executed", "check", "good"),
    StepState.FAILED: ("failed", "close", "bad"),
    StepState.INACTIVE: ("inactive", "block", "muted"),
    StepState.UNKNOWN: ("outcome unknown", "help", "bad"),
}


class Line(NamedTuple):
    """A step in words."""

    what: str
    timing: str
    state: str
    icon: str
    tone: str
    note: str


def read_steps(job: Job) -> dict[str, Any]:
    """The context of a job's page; two queries."""
    found = steps.find(str(job.pk))
    question = questions.of_job(job.pk)
    lines = [_line(step, job) for step in found]
    effects = [step for step in found if step.operation == EXECUTE]
    executed = sum(step.state is StepState.DONE for step in effects)
    inactive = sum(step.state is StepState.INACTIVE for step in effects)
    return {
        "event_steps": lines,
        "event_summary": f"{executed} of {len(effects) - inactive} effects executed" if effects else "",
        "event_unknown": next((line.what for line in lines if line.state == _LOOKS[StepState.UNKNOWN][0]), ""),
        "event_question": describe([question])[0] if question else None,
        "event_question_open": bool(question and question.answered_at is None and State(job.state) not in ENDED),
    }


def _line(step: Step, job: Job) -> Line:
    state = step.state
    if state is StepState.SENDING and job.state != State.RUNNING:  # its worker was lost before it knew
        state = StepState.UNKNOWN if job.may_have_been_applied else StepState.PLANNED
    word, icon, tone = _LOOKS[state]
    if state is StepState.DONE and not step.effect_id:
        word = "completed"
    return Line(step.name or step.effect_id or f"complete the event ({step.operation})", step.timing, word, icon, tone,
                step.note)  # fmt: skip
