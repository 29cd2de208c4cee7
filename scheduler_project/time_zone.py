"""The browser's time zone: pages show and read times in it."""

from collections.abc import Callable
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE: Final = "zone"  #: set by the pages' script; without it pages use TIME_ZONE


def activate(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Django middleware: activates the cookie's time zone while the request is served."""

    def serve(request: HttpRequest) -> HttpResponse:
        name = request.COOKIES.get(COOKIE, "")
        if name not in _known_zones():
            return get_response(request)
        with timezone.override(ZoneInfo(name)):
            return get_response(request)

    return serve


@cache
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones())
