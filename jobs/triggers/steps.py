"""What a job sends to trigger its event: each request is a step, which begins before it and ends after its answer.

Whether the request of a step that has begun was sent, and may be sent again, is not decided here: the job's own record
of sending does (jobs/ledger/moves.py), as for every job that must not send twice. A step says which request that was.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Q, Subquery
from django.utils import timezone

from jobs.ledger import moves
from jobs.main_api.executing import EXECUTE
from jobs.main_api.model import Event
from jobs.models import CampaignClock, Job, TriggerStep
from jobs.run import Sender, Step
from jobs.states import ENDED, State, StepState
from scheduler_project import text
from scheduler_project.outages import is_outage

log = structlog.get_logger(__name__)
_WAITS_S: Final = (0.2, 1.0, 3.0)
_REFUSED: Final = Q(state=StepState.FAILED, was_unknown=False) | Q(state=StepState.INACTIVE) & ~Q(was_unknown=True)
#: Steps without any effect in the main API. An effect whose ID cannot be recorded has failed without a request.
_UNSENT: Final = Q(state=StepState.PLANNED) | Q(operation=EXECUTE) & (_REFUSED | Q(effect_id=""))


def find(job_id: str) -> list[Step]:
    """The steps of a job in order; none before it has planned."""
    return [_read(row) for row in TriggerStep.objects.filter(job_id=UUID(job_id)).order_by("position")]


def resume(job_id: str) -> list[Step]:
    """The steps as a new attempt finds them: UNKNOWN if their request may have been sent, PLANNED if it was not.

    A step that an earlier attempt has begun says neither: only the job knows whether anything of it is unanswered.
    """
    found = find(job_id)
    if all(step.state is not StepState.SENDING for step in found):
        return found
    applied = Job.objects.filter(pk=UUID(job_id), may_have_been_applied=True).exists()
    begun = StepState.UNKNOWN if applied else StepState.PLANNED
    return [replace(step, state=begun) if step.state is StepState.SENDING else step for step in found]


def find_sender(job_id: str, event: Event) -> Sender | None:
    """The job that may have sent requests for this event before, the latest one; this job must not repeat them.

    One that succeeded before this job was made does not count: since then, the event was opened again. One that has
    not ended counts first, also if it has only planned: it may still complete the event.
    """
    others = TriggerStep.objects.filter(event_id=event.id).exclude(job_id=UUID(job_id))
    begun = others.filter(state=StepState.SENDING).values("job_id")
    sent = others.exclude(_UNSENT).exclude(state=StepState.SENDING).values("job_id")
    made_at = Job.objects.filter(pk=UUID(job_id)).values("created_at")
    jobs = Job.objects.filter(pk__in=others.values("job_id"), campaign_id=event.campaign_id)
    jobs = jobs.filter(Q(pk__in=sent) | Q(pk__in=begun, may_have_been_applied=True) | ~Q(state__in=ENDED))
    found = list(jobs.exclude(state=State.SUCCEEDED, finished_at__lt=Subquery(made_at)).order_by("-id"))
    senders = [Sender(str(job.pk), State(job.state) in ENDED) for job in found]
    return next((one for one in senders if not one.has_ended), senders[0] if senders else None)


@transaction.atomic
def give_way(job_id: str, event: Event) -> Sender | None:
    """As `find_sender`; if there is one, withdraw the plan of this job, which has sent nothing.

    So one of several jobs of an event continues, and no two wait for each other.
    """
    CampaignClock.objects.get_or_create(campaign_id=event.campaign_id)
    CampaignClock.objects.select_for_update().get(pk=event.campaign_id)  # one plan of a campaign at a time
    if (sender := find_sender(job_id, event)) is not None:
        TriggerStep.objects.filter(job_id=UUID(job_id)).delete()
    return sender


@transaction.atomic
def plan(job_id: str, event: Event, steps: Sequence[Step]) -> list[Step] | Sender:
    """Record what the job is going to send, unless another job of the event has: then return that one.

    Returns what its first attempt planned, if that is still there.
    """
    if (sender := give_way(job_id, event)) is not None:
        return sender
    if planned := resume(job_id):
        return planned
    TriggerStep.objects.bulk_create(
        [
            TriggerStep(
                job_id=UUID(job_id),
                event_id=event.id,
                position=step.position,
                operation=step.operation,
                effect_id=step.effect_id,
                name=text.as_name(step.name),
                timing=step.timing,
                state=step.state,
                note=text.plain(step.note),
                was_unknown=False,
            )
            for step in steps
        ]
    )
    return resume(job_id)


def begin(job_id: str, position: int, attempt: int, *, again: bool = False) -> None:
    """A step begins: from now on, its request may be sent. Leaves one that is done, or that a newer attempt has begun.

    Whether the request was sent is recorded right before that, by the job (jobs/sending.py). `again`: an earlier one
    may have been carried out, whatever becomes of this one.
    """
    rows = TriggerStep.objects.filter(job_id=UUID(job_id), position=position, attempt__lte=attempt)
    values = {"state": StepState.SENDING, "attempt": attempt, "moved_at": timezone.now()}
    rows.exclude(state=StepState.DONE).update(**values, **({"was_unknown": True} if again else {}))


def end(job_id: str, position: int, attempt: int, state: StepState, note: str = "") -> None:
    """How a step ended. Unless its outcome is unknown, nothing that the attempt has sent is open any more.

    A late attempt says nothing about a step that a newer one has begun. Waits out a short outage of the database:
    nobody else knows what was answered.
    """
    kept = text.shorten(text.plain(note), text.LONGEST_ERROR)
    unknown = {"was_unknown": True} if state is StepState.UNKNOWN else {}
    _record(job_id, position, attempt, answered=not unknown, state=state, note=kept, **unknown)


def take_over(job_id: str, position: int, attempt: int) -> None:
    """This attempt knows how a request ended that an earlier one has begun: `end` records it then.

    A step that nobody has begun stays as it is: what it would have done was done by others.
    """
    begun = TriggerStep.objects.filter(job_id=UUID(job_id), position=position, attempt__lt=attempt)
    begun.filter(state__in=(StepState.SENDING, StepState.UNKNOWN)).update(attempt=attempt)


def take_back(job_id: str, position: int, attempt: int, state: StepState) -> None:
    """The request of a step that has begun was clearly not carried out: the step is as before, and nothing is open."""
    _record(job_id, position, attempt, answered=True, state=state)


def _record(job_id: str, position: int, attempt: int, *, answered: bool, **values: Any) -> None:
    for wait_s in _WAITS_S:
        try:
            _write(job_id, position, attempt, answered=answered, **values)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning(
                "event_step.not_recorded",
                job_id=job_id,
                state=values["state"],
                error=str(error)[:300],
                retry_in_s=wait_s,
            )
            connection.close()
            time.sleep(wait_s)
        else:
            return
    _write(job_id, position, attempt, answered=answered, **values)


@transaction.atomic
def _write(job_id: str, position: int, attempt: int, *, answered: bool, **values: Any) -> None:
    rows = TriggerStep.objects.filter(job_id=UUID(job_id), position=position, attempt=attempt)
    rows.update(moved_at=timezone.now(), **values)
    if answered:
        moves.end_sending(job_id, attempt)


def _read(row: TriggerStep) -> Step:
    return Step(
        position=row.position,
        operation=row.operation,
        effect_id=row.effect_id,
        name=row.name,
        timing=row.timing,
        state=StepState(row.state),
        note=row.note,
        was_unknown=row.was_unknown,
    )
