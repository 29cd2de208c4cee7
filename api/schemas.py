"""The JSON of requests and responses."""

import json
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from jobs import claims
from jobs.errors import InvalidJob
from jobs.models import Job
from jobs.states import Priority
from jobs.stops import AT_WORLD_TIME, waits_for_world_time
from scheduler_project.moments import read_moment


def read_body(request: HttpRequest, known: set[str]) -> dict[str, Any]:
    try:
        body = json.loads(request.body or b"{}")
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


def read_time(body: dict[str, Any], field: str) -> datetime | None:
    text = body.get(field)
    if text is None:
        return None
    try:
        return read_moment(text)
    except ValueError as error:
        raise InvalidJob(field, str(error)) from None


def read_reason(body: dict[str, Any]) -> str:
    """The reason; empty if there is none, or nothing that can be seen in it."""
    reason = body.get("reason")
    if not isinstance(reason, str | None):
        raise InvalidJob("reason", "expected a text")
    return (reason or "").strip()


def as_json(job: Job) -> dict[str, Any]:
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
        "dueAt": None if waits_for_world_time(job) else job.due_at,
        "firstDueAt": None if job.first_due_at == AT_WORLD_TIME else job.first_due_at,
        "worldTimeDue": job.clock_due if job.clock == "world" else None,
        "startedAt": claims.started_of(job),
        "finishedAt": job.finished_at,
        "result": job.result,
        "error": job.error,
    }
