"""The endpoints that look ahead: what will happen in a campaign, and what an advance of its clock would do."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from api.problems import problem
from jobs.errors import InvalidForecast, JobError, MustWait, NotFound, TransientError
from jobs.main_api import wire
from jobs.main_api.client import main_api
from jobs.schedules.forecast import LONGEST_DAYS, MOST_LINES, Forecast
from jobs.schedules.forecast_json import forecast_as_json, what_if_as_json
from jobs.schedules.towns import read_world
from jobs.schedules.what_if import read_until, what_if

DAYS = 30
LIMIT = 100


def _reads_main_api(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def reading(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, **kwargs)
        except NotFound as missing:
            return problem(404, str(missing))
        except (TransientError, MustWait) as away:
            return problem(503, f"the main API is not available: {away}", headers={"Retry-After": "5"})
        except JobError as refused:
            return problem(502, f"the main API cannot be read: {refused}")

    return reading


@require_GET
@_reads_main_api
def forecast(request: HttpRequest, actor: str, campaign_id: str) -> HttpResponse:
    """GET /api/campaigns/<id>/forecast?days=&town=&limit=&after=: what will happen, a page of lines."""
    _check_names(request, {"days", "town", "limit", "after"})
    days = _read_number(request, "days", DAYS, LONGEST_DAYS)
    limit = _read_number(request, "limit", LIMIT, MOST_LINES)
    after = request.GET.get("after", "")
    found = Forecast(read_world(main_api(), campaign_id, town=request.GET.get("town", "")), days)
    return _answer(forecast_as_json(found, *found.page(after, limit)))


@require_GET
@_reads_main_api
def show_what_if(request: HttpRequest, actor: str, campaign_id: str) -> HttpResponse:
    """GET /api/campaigns/<id>/what-if?to= or ?by=, &town=&limit=&after=: what an advance would do, a page of towns."""
    _check_names(request, {"to", "by", "town", "limit", "after"})
    limit = _read_number(request, "limit", LIMIT, MOST_LINES)
    start = _read_number(request, "after", 0, 10**9, least=0)
    world = read_world(main_api(), campaign_id, town=request.GET.get("town", ""))
    until = read_until(world.now, to=request.GET.get("to", ""), by=request.GET.get("by", ""))
    found = what_if(world, until)
    following = str(start + limit) if len(found.towns) > start + limit else ""
    return _answer(what_if_as_json(found, found.towns[start : start + limit], following))


def _answer(body: dict[str, Any]) -> HttpResponse:
    """Numbers keep the digits that the main API gave them."""
    return HttpResponse(wire.encode(body), content_type="application/json")


def _check_names(request: HttpRequest, known: set[str]) -> None:
    for name in request.GET:
        if name not in known:
            raise InvalidForecast(name[:100], f"unknown parameter; known: {', '.join(sorted(known))}")


def _read_number(request: HttpRequest, name: str, default: int, most: int, *, least: int = 1) -> int:
    text = request.GET.get(name, "")
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else -1
    if not least <= number <= most:
        raise InvalidForecast(name, f"must be a whole number from {least} to {most:,}")
    return number
