"""Error pages: what happened, and what to do."""

import sys
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import BadRequest, DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from redis import RedisError

from scheduler_project import links
from scheduler_project.outages import is_outage

_AWAY = (
    "No job is lost: work resumes automatically as soon as it is back, and so does this page. Look at /health for what "
    "is down. If you pressed a button, look whether it was done before you press it again."
)


def _page(status: int, title: str, advice: str, **more: str) -> HttpResponse:
    context = {
        "status": status,
        "title": title,
        "advice": advice,
        "request_id": structlog.contextvars.get_contextvars().get("request_id", ""),
        "prefix": settings.URL_PREFIX,
        **more,
    }
    return HttpResponse(render_to_string("fault.html", context), status=status)


def bad_request(request: HttpRequest, exception: Any = None) -> HttpResponse:
    """400: as JSON under /api/."""
    if isinstance(exception, DisallowedHost):
        advice = "The service does not answer under this host name. Whoever runs it can add it to ALLOWED_HOSTS."
    else:
        detail = f"{exception} Nothing was done." if isinstance(exception, BadRequest) and exception.args else ""
        advice = f"{detail or 'The request cannot be read.'} Go back, load the page again and repeat what you did."
    if request.path_info.startswith("/api/"):
        return JsonResponse({"error": advice}, status=400)
    return _page(400, "This request is not served", advice)


def forbidden(request: HttpRequest, exception: Any = None) -> HttpResponse:
    """403: the user lacks a permission."""
    detail = str(exception) if exception and exception.args else ""
    advice = "Your groups do not give you the permission for this. An administrator can put you into another group."
    roles = links.page("jobs_roles") if request.user.has_perm("jobs.view_job") else ""
    return _page(403, "You don't have permission", f"{detail} {advice}".strip(), roles=roles)


def not_found(request: HttpRequest, exception: Any = None) -> HttpResponse:
    """404: as JSON under /api/."""
    if request.path_info.startswith("/api/"):
        return JsonResponse({"error": f"there is nothing at {request.path}"}, status=404)
    return _page(
        404,
        "Page not found",
        "The address may be mistyped, or what it showed is gone: finished jobs are removed after some weeks.",
    )


def locked_out(request: HttpRequest, *_: Any) -> HttpResponse:
    """429 for a login from an address that failed too often."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() / 60)
    answer = _page(
        429,
        "Too many failed logins",
        f"Nobody can log in from your address for {minutes} minutes. An administrator can end that at once: under "
        "Failed logins in the admin.",
    )
    answer.headers["Retry-After"] = str(minutes * 60)
    return answer


def stale_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 of Django's CSRF protection."""
    return _page(
        403,
        "Form expired",
        "Nothing was done. It was opened before you logged in, or cookies are off. Go back, load the page again and "
        f"repeat what you did. ({reason})",
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """503 while Redis or the database is down, otherwise 500: as JSON under /api/. The page must need neither."""
    error = sys.exception()
    is_away = error is not None and is_outage(error)
    if request.path_info.startswith("/api/"):
        if is_away:
            return JsonResponse({"error": "not available: retry in 5 s"}, status=503, headers={"Retry-After": "5"})
        return JsonResponse({"error": "the service failed: its log says why"}, status=500)
    if is_away and isinstance(error, RedisError):
        return _page(503, "Redis does not answer", f"Jobs, failures, cron tasks and campaigns are there. {_AWAY}")
    if is_away:
        return _page(503, "The database does not answer", _AWAY)
    return _page(
        500,
        "Something went wrong",
        "The fault is in the service or in what it depends on. Jobs go on in the workers. Look at /health for what is "
        "down, and in the log of the web process for the traceback.",
    )
