"""Authentication: `Authorization: Bearer <secret>` with a secret of SCHEDULER_API_TOKENS."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from api.problems import problem
from jobs import actor as actors
from jobs.errors import InvalidJob, StateConflict
from jobs.models import Job

log = structlog.get_logger(__name__)
View = Callable[..., JsonResponse]


def token_name(request: HttpRequest) -> str | None:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    for known, name in settings.SCHEDULER_API_TOKENS.items():
        if hmac.compare_digest(known.encode(), secret.encode()):
            return str(name)
    return None


def for_clients(view: View) -> View:
    @csrf_exempt
    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> JsonResponse:
        name = token_name(request)
        if name is None:
            return problem(401, "Authorization: Bearer <a secret of SCHEDULER_API_TOKENS> is required")
        try:
            return view(request, actor=actors.token(name), **kwargs)
        except InvalidJob as bad:
            return problem(400, str(bad), bad.field)
        except StateConflict as conflict:
            return problem(409, str(conflict))
        except Job.DoesNotExist:
            return problem(404, "there is no such job")
        except (DatabaseError, InterfaceError) as away:
            log.warning("api.database_away", error=str(away)[:500])
            return problem(503, "the database is not available: retry in 5 s", headers={"Retry-After": "5"})

    return checked
