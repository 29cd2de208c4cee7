"""The HTTP API for other services: submit, look at, cancel, reschedule, retry and run jobs now.

Clients authenticate with `Authorization: Bearer <secret>`, a secret of SCHEDULER_API_TOKENS.
"""

import hmac
import json
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from jobs import actor as actors
from jobs import service
from jobs.errors import InvalidJob, StateConflict
from jobs.models import Job
from jobs.states import Priority
from scheduler_project import request_origin
from scheduler_project.moments import read_moment

View = Callable[..., JsonResponse]


def _error(status: int, message: str, field: str | None = None) -> JsonResponse:
    return JsonResponse({"error": message} | ({"field": field} if field else {}), status=status)


def _token_name(request: HttpRequest) -> str | None:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    for known, name in settings.SCHEDULER_API_TOKENS.items():
        if hmac.compare_digest(known.encode(), secret.encode()):
            return str(name)
    return None


def _for_clients(view: View) -> View:
    @csrf_exempt
    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> JsonResponse:
        name = _token_name(request)
        if name is None:
            return _error(401, "Authorization: Bearer <a secret of SCHEDULER_API_TOKENS> is required")
        try:
            return view(request, actor=actors.token(name), **kwargs)
        except InvalidJob as bad:
            return _error(400, str(bad), bad.field)
        except StateConflict as conflict:
            return _error(409, str(conflict))
        except Job.DoesNotExist:
            return _error(404, "there is no such job")

    return checked


def _body(request: HttpRequest, known: set[str]) -> dict[str, Any]:
    try:
        body = json.loads(request.body or b"{}")
    except RequestDataTooBig as error:
        raise InvalidJob("body", str(error)) from None
    except RecursionError:
        raise InvalidJob("body", "nested too deeply") from None
    except ValueError as error:
        raise InvalidJob("body", f"not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidJob("body", "expected a JSON object")
    for name in body:
        if name not in known:
            raise InvalidJob(name, f"unknown field; known: {', '.join(sorted(known))}")
    return body


def _time(body: dict[str, Any], field: str) -> datetime | None:
    text = body.get(field)
    if text is None:
        return None
    try:
        return read_moment(text)
    except ValueError as error:
        raise InvalidJob(field, str(error)) from None


def _as_json(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "type": job.type,
        "campaignId": job.campaign_id,
        "payload": job.payload,
        "priority": Priority(job.priority).name,
        "state": job.state,
        "attempt": job.attempt,
        "failures": job.failures,
        "mayHaveBeenApplied": job.may_have_been_applied,
        "dueAt": job.due_at,
        "startedAt": job.started_at,
        "finishedAt": job.finished_at,
        "result": job.result,
        "error": job.error,
    }


@require_POST
def submit(request: HttpRequest, actor: str) -> JsonResponse:
    """POST /api/jobs: 201 with the new job, 200 with the one that stands for the same work already."""
    body = _body(request, {"type", "campaignId", "payload", "priority", "dueAt"})
    submission = service.Submission(
        type=body.get("type"),
        campaign_id=body.get("campaignId"),
        payload=body.get("payload", {}),
        priority=body.get("priority"),
        due_at=_time(body, "dueAt"),
        request_id=request_origin.current().request_id,
    )
    job, new = service.submit(submission, actor=actor, reason="submitted over HTTP")
    return JsonResponse(_as_json(job), status=201 if new else 200)


@require_GET
def show(request: HttpRequest, actor: str, job_id: UUID) -> JsonResponse:
    """GET /api/jobs/<id>: the job with its audit trail."""
    job = Job.objects.get(pk=job_id)
    trail = list(job.audit_trail.values("at", "was", "now", "attempt", "actor", "reason", "duration_ms", "error"))
    return JsonResponse({**_as_json(job), "auditTrail": trail})


@require_POST
def command(request: HttpRequest, actor: str, job_id: UUID, verb: str) -> JsonResponse:
    """POST /api/jobs/<id>/cancel, /discard, /retry, /run-now or /reschedule {dueAt}; `reason` is optional."""
    job = Job.objects.get(pk=job_id)
    body = _body(request, {"reason", "dueAt"} if verb == "reschedule" else {"reason"})
    reason = str(body.get("reason") or f"{verb} over HTTP")
    if verb == "reschedule":
        due_at = _time(body, "dueAt")
        if due_at is None:
            raise InvalidJob("dueAt", "is required")
        report = service.reschedule([job], due_at=due_at, actor=actor, reason=reason)
    else:
        verbs = {
            "cancel": service.cancel,
            "discard": service.discard,
            "retry": service.retry,
            "run-now": service.run_now,
        }
        report = verbs[verb]([job], actor=actor, reason=reason)
    return JsonResponse(_as_json(service.only(report, job)))


urlpatterns = [
    path("jobs", _for_clients(submit)),
    path("jobs/<uuid:job_id>", _for_clients(show)),
    *(
        path(f"jobs/<uuid:job_id>/{verb}", _for_clients(command), {"verb": verb})
        for verb in ("cancel", "discard", "retry", "run-now", "reschedule")
    ),
]
