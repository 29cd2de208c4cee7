"""Addresses and cookies as people and scanners send them."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from scheduler_project.text import plain

Serve = Callable[[HttpRequest], HttpResponse]


def clean(get_response: Serve) -> Serve:
    """Django middleware: replaces NUL in the path, the query and the cookies, which PostgreSQL answers with an error.

    One place for every filter, search box and key in an address; it finds nothing then. Forms refuse NUL themselves,
    under the field that holds it. Django has replaced halves of surrogate pairs already.
    """

    def serve(request: HttpRequest) -> HttpResponse:
        if "%00" in (query := request.META.get("QUERY_STRING", "")):
            request.META["QUERY_STRING"] = query.replace("%00", "%EF%BF%BD")
        if "\0" in request.path_info:
            request.path, request.path_info = plain(request.path), plain(request.path_info)
        if "\\" in request.META.get("HTTP_COOKIE", ""):  # a quoted value may write any character as \\ooo
            request.COOKIES = {name: plain(value) for name, value in request.COOKIES.items()}
        return get_response(request)

    return serve
