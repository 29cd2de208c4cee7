"""What a job has sent to trigger an event, as its page shows it."""

from typing import Any, Final, NamedTuple

from django.utils.translation import gettext, gettext_noop, ngettext

from jobs.main_api.executing import EXECUTE
from jobs.models import Job
from jobs.run import Step
from jobs.states import ENDED, State, StepState
from jobs.triggers import questions, steps
from ops.reads.event_questions import describe

_LOOKS: Final = {
    StepState.PLANNED: (gettext_noop("not sent"), "schedule", "muted"),
    StepState.SENDING: (gettext_noop("sending"), "autorenew", "busy"),
    StepState.DONE: (gettext_noop("executed"), "check", "good"),
    StepState.FAILED: (gettext_noop("failed"), "close", "bad"),
    StepState.INACTIVE: (gettext_noop("inactive"), "block", "muted"),
    StepState.UNKNOWN: (gettext_noop("outcome unknown"), "help", "bad"),
}


class StepLine(NamedTuple):
    """A step in words."""

    what: str
    timing: str
    state: str
    icon: str
    tone: str
    note: str
    is_unknown: bool


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
        "event_summary": _summarize(executed, len(effects) - inactive) if effects else "",
        "event_unknown": next((line.what for line in lines if line.is_unknown), ""),
        "event_question": describe([question])[0] if question else None,
        "event_question_open": bool(question and question.answered_at is None and State(job.state) not in ENDED),
    }


def _line(step: Step, job: Job) -> StepLine:
    state = step.state
    if state is StepState.SENDING and job.state != State.RUNNING:  # its worker was lost before it knew
        state = StepState.UNKNOWN if job.may_have_been_applied else StepState.PLANNED
    word, icon, tone = _LOOKS[state]
    if state is StepState.DONE and not step.effect_id:
        word = gettext_noop("completed")
    completes = gettext("complete the event (%(operation)s)") % {"operation": step.operation}
    return StepLine(
        what=step.name or step.effect_id or completes,
        timing=step.timing,
        state=gettext(word),
        icon=icon,
        tone=tone,
        note=step.note,
        is_unknown=state is StepState.UNKNOWN,
    )


def _summarize(executed: int, effects: int) -> str:
    text = ngettext("%(executed)s of %(count)s effect executed", "%(executed)s of %(count)s effects executed", effects)
    return text % {"executed": executed, "count": effects}
