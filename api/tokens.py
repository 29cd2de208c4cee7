"""Authentication: `Authorization: Bearer <secret>` with a secret of SCHEDULER_API_TOKENS."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils.translation import override
from django.views.decorators.csrf import csrf_exempt

from api import wrong_tokens
from api.problems import problem
from jobs import actor as actors
from jobs.errors import InvalidForecast, InvalidJob, StateConflict
from jobs.models import Job
from scheduler_project.outages import is_outage
from scheduler_project.request_origin import client_address

log = structlog.get_logger(__name__)
View = Callable[..., HttpResponse]


def token_name(secret: str) -> str | None:
    """Return whose secret it is. Takes as long for a wrong one, whatever it begins with."""
    found = None
    for known, name in settings.SCHEDULER_API_TOKENS.items():
        if hmac.compare_digest(known.encode(), secret.encode()):
            found = str(name)
    return found


def _client_of(request: HttpRequest) -> str | JsonResponse:
    """Return the name of the client's token, or the refusal."""
    address = client_address(request)
    if wait := wrong_tokens.wait_s(address):
        return _refuse_for(wait)
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    name = token_name(secret) if scheme.lower() == "bearer" else None
    if name is None:
        if secret and (wait := wrong_tokens.note(address)):
            return _refuse_for(wait)
        return problem(401, "Authorization: Bearer <a secret of SCHEDULER_API_TOKENS> is required")
    return name


def _refuse_for(wait_s: int) -> JsonResponse:
    message = f"too many wrong tokens from your address: try again in {wait_s} s, with a secret of SCHEDULER_API_TOKENS"
    return problem(429, message, headers={"Retry-After": str(wait_s)})


def for_clients(view: View) -> View:
    @csrf_exempt
    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        name = _client_of(request)
        if isinstance(name, JsonResponse):
            return name
        try:
            with override("en"):  # programs read the answers, whatever the language of the pages
                return _as_json(view(request, actor=actors.token(name), **kwargs))
        except (InvalidJob, InvalidForecast) as bad:
            return problem(400, str(bad), bad.field)
        except RequestDataTooBig:
            return problem(413, f"the body has more than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes", "body")
        except StateConflict as conflict:
            return problem(409, str(conflict))
        except Job.DoesNotExist:
            return problem(404, "there is no such job")
        except (DatabaseError, InterfaceError) as away:
            if not is_outage(away):  # a bug, which a retry meets again
                raise
            log.warning("api.database_away", error=str(away)[:500])
            return problem(503, "the database is not available: retry in 5 s", headers={"Retry-After": "5"})

    return checked


def _as_json(response: HttpResponse) -> HttpResponse:
    """Django's answer to a wrong method has no body."""
    if not isinstance(response, HttpResponseNotAllowed):
        return response
    allowed = response.headers["Allow"]
    return problem(405, f"the method must be {allowed}", headers={"Allow": allowed})
