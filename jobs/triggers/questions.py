"""The public interface of questions about events: one is open until somebody answers it, or its deadline passes."""

from datetime import datetime, timedelta
from functools import cache
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from jobs import audit, service
from jobs.errors import StateConflict
from jobs.main_api.model import Event
from jobs.models import EventQuestion, Job
from jobs.models.event import LONGEST_TYPE
from jobs.states import ENDED, State
from scheduler_project import text
from scheduler_project.fixed_query import FixedQuery
from scheduler_project.links import page

log = structlog.get_logger(__name__)
DEADLINE: Final = "deadline"  #: who answers a question that nobody has answered in time
_LONGEST_REASON: Final = 500


def find_open(most: int) -> list[EventQuestion]:
    """Questions that jobs wait for, the first deadline first."""
    return list(_open()[:most])


def count_open(most: int) -> int:
    return len(_first_open(most).rows())


def find_answered(most: int) -> list[EventQuestion]:
    """Answered questions, the latest first."""
    return list(EventQuestion.objects.exclude(answered_at=None).order_by("-answered_at")[:most])


def of_job(job_id: UUID) -> EventQuestion | None:
    return EventQuestion.objects.filter(pk=job_id).first()


def answer(job_id: UUID, *, yes: bool, actor: str, reason: str = "") -> EventQuestion:
    """Answer the question of a job, which then runs at once. The first answer counts.

    Raises StateConflict if it has an answer already, or its job does not wait for one now: one that is running may have
    looked for its answer just before, and would not look again until the deadline.
    """
    reason = text.line(reason, _LONGEST_REASON)
    with transaction.atomic():
        job = Job.objects.select_for_update().filter(pk=job_id).first()  # nobody claims it before this is committed
        question = of_job(job_id)
        if question is None or job is None or State(job.state) in ENDED:
            raise StateConflict(gettext("the job no longer waits for an answer"))
        if not _answer(job_id, yes=yes, by=actor, reason=reason):
            raise StateConflict(gettext("the question has been answered already"))
        if job.state == State.RUNNING:
            raise StateConflict(gettext("the job is running and asks at this moment; answer again in a few seconds"))
        audit.record(
            actor=actor,
            verb="answered",
            target=f"event {question.event_name}",
            reason=reason,
            link=page("jobs_job_change", str(job_id)),
            changes={"trigger": (None, "yes" if yes else "no")},
        )
        service.run_now([job], actor=actor, reason=f"answered {'yes' if yes else 'no'}" + (reason and f": {reason}"))
    log.info("event_question.answered", job_id=str(job_id), answer=yes, actor=actor)
    question.refresh_from_db()
    return question


def ask(job_id: str, event: Event, *, within: timedelta, default: bool) -> datetime:
    """Open the question of a job unless it is there already. Returns its deadline."""
    now = timezone.now()
    question, new = EventQuestion.objects.get_or_create(
        job_id=UUID(job_id),
        defaults={
            "campaign_id": event.campaign_id,
            "event_id": event.id,
            "event_name": text.as_name(event.name),
            "event_type": text.line(event.event_type, LONGEST_TYPE),
            "scheduled_at": text.line(event.scheduled_at or "", 32),
            "asked_at": now,
            "deadline": now + within,
            "default_answer": default,
        },
    )
    if new:
        log.warning("event_question.opened", job_id=job_id, event_id=event.id, deadline=question.deadline)
    return question.deadline


def find_answer(job_id: str, now: datetime) -> tuple[bool, str] | None:
    """The answer and who gave it, if there is one by now: from the deadline on, the default. None if there is none."""
    question = of_job(UUID(job_id))
    if question is None:
        return None
    if question.answer is None and question.deadline <= now:
        _answer(question.pk, yes=question.default_answer, by=DEADLINE, reason="nobody answered in time")
        question.refresh_from_db()
    return None if question.answer is None else (question.answer, question.answered_by)


def _open() -> QuerySet[EventQuestion]:
    """Without those of jobs that were cancelled."""
    waiting = Job.objects.filter(pk=OuterRef("pk")).exclude(state__in=ENDED)
    return EventQuestion.objects.open().filter(Exists(waiting))


@cache
def _first_open(most: int) -> FixedQuery:
    return FixedQuery(lambda: _open().order_by().values_list("pk")[:most])


def _answer(job_id: UUID, *, yes: bool, by: str, reason: str) -> bool:
    """Whether this answer is the first."""
    open_one = EventQuestion.objects.filter(pk=job_id, answered_at=None)
    changes = {"answer": yes, "answered_at": timezone.now(), "answered_by": text.line(by, 120), "reason": reason}
    return bool(open_one.update(**changes))
