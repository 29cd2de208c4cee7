"""The endpoints: submit and get jobs, and command them."""

from uuid import UUID

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from api.schemas import as_json, read_body, read_reason, read_time
from jobs import service, undo
from jobs.errors import InvalidJob
from jobs.models import Job
from scheduler_project import request_origin


@require_POST
def submit(request: HttpRequest, actor: str) -> JsonResponse:
    """POST /api/jobs: 201 with the new job, or 200 with the existing job for the same work."""
    body = read_body(request, {"type", "campaignId", "payload", "priority", "dueAt"})
    submission = service.Submission(
        type=body.get("type"),
        campaign_id=body.get("campaignId"),
        payload=body.get("payload", {}),
        priority=body.get("priority"),
        due_at=read_time(body, "dueAt"),
        request_id=request_origin.current().request_id,
    )
    job, new = service.submit(submission, actor=actor)
    return JsonResponse(as_json(job), status=201 if new else 200)


@require_GET
def show(request: HttpRequest, actor: str, job_id: UUID) -> JsonResponse:
    """GET /api/jobs/<id>: the job with its audit trail."""
    job = Job.objects.get(pk=job_id)
    trail = list(job.audit_trail.values("at", "was", "now", "attempt", "actor", "reason", "duration_ms", "error"))
    return JsonResponse({**as_json(job), "auditTrail": trail})


@require_POST
def command(request: HttpRequest, actor: str, job_id: UUID, verb: str) -> JsonResponse:
    """POST /api/jobs/<id>/cancel, /discard, /restore, /retry, /run-now or /reschedule {dueAt}; `reason` is optional."""
    job = Job.objects.get(pk=job_id)
    body = read_body(request, {"reason", "dueAt"} if verb == "reschedule" else {"reason"})
    reason = read_reason(body)
    if verb == "reschedule":
        due_at = read_time(body, "dueAt")
        if due_at is None:
            raise InvalidJob("dueAt", "is required")
        report = service.reschedule([job], due_at=due_at, actor=actor, reason=reason)
    else:
        verbs = {
            "cancel": service.cancel,
            "discard": service.discard,
            "restore": undo.restore,
            "retry": service.retry,
            "run-now": service.run_now,
        }
        report = verbs[verb]([job], actor=actor, reason=reason)
    return JsonResponse(as_json(service.one_or_conflict(report, job)))
