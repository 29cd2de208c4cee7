"""Cleans URLs and cookies, which browsers and scanners may send with any content."""

from collections.abc import Callable

from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.http import HttpRequest, HttpResponse

from scheduler_project import faults
from scheduler_project.text import plain

Serve = Callable[[HttpRequest], HttpResponse]


def clean(get_response: Serve) -> Serve:
    """Django middleware: replaces NUL in path, query and cookies, because PostgreSQL rejects it with an error.

    This covers every filter, search box and key in a URL; such a search then finds nothing. Forms reject NUL
    themselves, with the field's name. Django has already replaced lone surrogates.
    """

    def serve(request: HttpRequest) -> HttpResponse:
        if "%00" in (query := request.META.get("QUERY_STRING", "")):
            request.META["QUERY_STRING"] = query.replace("%00", "%EF%BF%BD")
        if "\0" in request.path_info:
            request.path, request.path_info = plain(request.path), plain(request.path_info)
        if "\\" in request.META.get("HTTP_COOKIE", ""):  # a quoted value may encode any character as \\ooo
            request.COOKIES = {name: plain(value) for name, value in request.COOKIES.items()}
        return get_response(request)

    return serve


class OddKeys:
    """Django middleware: 404 for a key that no row can have, where a view does not see to it.

    Django's own views catch ValueError, but a UUID field raises ValidationError, and an empty name of the field to
    find the row by raises FieldDoesNotExist.
    """

    def __init__(self, get_response: Serve) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Django calls it with what a view raised."""
        is_odd = isinstance(exception, ValidationError) or (
            isinstance(exception, FieldDoesNotExist) and TO_FIELD_VAR in request.GET
        )
        return faults.not_found(request, exception) if is_odd and request.method in ("GET", "HEAD") else None
