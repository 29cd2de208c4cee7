"""The time zone of whoever asks: pages show times, and read times that are typed in, in the person's own zone."""

from collections.abc import Callable
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE: Final = "zone"  #: set by the pages' script; a browser without it sees TIME_ZONE


def activate(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Django middleware: the zone of the cookie is the current one while the request is served."""

    def serve(request: HttpRequest) -> HttpResponse:
        name = request.COOKIES.get(COOKIE, "")
        if name not in _known():
            return get_response(request)
        with timezone.override(ZoneInfo(name)):
            return get_response(request)

    return serve


@cache
def _known() -> frozenset[str]:
    return frozenset(available_timezones())
