"""/health, /metrics and /metrics/prometheus."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST

from jobs.broker import keys
from monitoring import exposition, health
from monitoring import metrics as numbers
from monitoring.health import Found


@never_cache
def show_health(request: HttpRequest) -> JsonResponse:
    """GET /health: 503 if a critical component is down, otherwise 200; reasons only for staff and METRICS_TOKEN."""
    found = health.HEALTH.components()
    status = 503 if health.overall(found) == "unhealthy" else 200
    return JsonResponse(health.as_json(found, details=_may_see_reasons(request, found)), status=status)


@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """GET /health/live: 200 while the process answers."""
    return JsonResponse({"status": "live"})


@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """GET /health/ready: 503 with what is missing of database, migrations and Redis."""
    found = health.READINESS.components()
    missing = [name for name, component in found.items() if component.status == health.DOWN]
    if missing:
        return JsonResponse({"status": "not ready", "missing": missing}, status=503)
    return JsonResponse({"status": "ready"})


def _for_scrapers(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Where METRICS_TOKEN is set, serve only its bearers and staff."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if settings.METRICS_TOKEN and not _may_see_reasons(request, health.HEALTH.components()):
            answer = JsonResponse({"error": "Authorization: Bearer <METRICS_TOKEN> is required"}, status=401)
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return view(request)

    return checked


@never_cache
@_for_scrapers
def metrics(request: HttpRequest) -> JsonResponse:
    """GET /metrics: the predecessor's JSON; 503 while the database, which has the numbers, does not answer."""
    found = health.HEALTH.components()
    if found["database"].status == health.DOWN:
        return JsonResponse({"error": "the database does not answer"}, status=503)
    away = found["redis"].status == health.DOWN
    n = numbers.queue_numbers(None if away else numbers.queue_depths(keys.redis()))
    queue = {
        "active": n.active,
        "waiting": n.waiting,
        "completed": n.completed,
        "failed": n.failed,
        "delayed": n.delayed,
    }
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return JsonResponse({"queue": queue, "deadLetter": {"count": n.dead}, "timestamp": stamp})


@never_cache
@_for_scrapers
def prometheus(request: HttpRequest) -> HttpResponse:
    """GET /metrics/prometheus: the exposition for Prometheus."""
    return HttpResponse(exposition.render(health.HEALTH.components()), content_type=CONTENT_TYPE_LATEST)


def _may_see_reasons(request: HttpRequest, found: Found) -> bool:
    """Return whether the caller is staff or has METRICS_TOKEN; while the database is down, only the token counts."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    token = settings.METRICS_TOKEN.encode()
    if token and scheme.lower() == "bearer" and hmac.compare_digest(secret.encode(), token):
        return True
    if found["database"].status != health.UP or settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    user = getattr(request, "user", None)
    return bool(user and user.is_authenticated and user.is_staff)
