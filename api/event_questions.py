"""The endpoints of questions about events: which are open, and an answer to one."""

from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from api.problems import problem
from api.schemas import read_body, read_reason
from jobs.errors import InvalidJob
from jobs.models import EventQuestion
from jobs.triggers import questions

MOST: Final = 1_000


@require_GET
def show(request: HttpRequest, actor: str) -> JsonResponse:
    """GET /api/event-questions: those that jobs wait for, the first deadline first, MOST at most."""
    found = questions.find_open(MOST + 1)
    return JsonResponse({"questions": [_as_json(one) for one in found[:MOST]], "hasMore": len(found) > MOST})


@require_POST
def answer(request: HttpRequest, actor: str, job_id: UUID) -> JsonResponse:
    """POST /api/jobs/<id>/answer {trigger}; `reason` is optional. 404 if the job has asked nothing."""
    body = read_body(request, {"trigger", "reason"})
    trigger = body.get("trigger")
    if trigger is None:
        raise InvalidJob("trigger", "is required")
    if not isinstance(trigger, bool):
        raise InvalidJob("trigger", "expected true or false")
    reason = read_reason(body)
    if questions.of_job(job_id) is None:
        return problem(404, "the job has asked nothing")
    return JsonResponse(_as_json(questions.answer(job_id, yes=trigger, actor=actor, reason=reason)))


def _as_json(question: EventQuestion) -> dict[str, Any]:
    return {
        "jobId": str(question.pk),
        "campaignId": question.campaign_id,
        "eventId": question.event_id,
        "eventName": question.event_name,
        "eventType": question.event_type,
        "scheduledAt": question.scheduled_at,
        "askedAt": question.asked_at,
        "deadline": question.deadline,
        "defaultAnswer": question.default_answer,
        "trigger": question.answer,
        "answeredAt": question.answered_at,
        "answeredBy": question.answered_by or None,
    }
