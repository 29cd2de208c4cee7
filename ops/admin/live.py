"""The stream of a live page. It says that something has changed, never what: the page is asked for that."""

from typing import Final

from django.contrib import admin
from django.http import HttpRequest, HttpResponseForbidden, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from ops.live.hub import hub
from ops.live.stream import events, watch_client

MOST_TOPICS: Final = 12  #: of one page


@require_GET
def stream(request: HttpRequest) -> HttpResponseBase:
    """Follow those of the topics in the address that the user may see. Who is logged out is refused, not redirected."""
    asked = request.GET.getlist("topic")[:MOST_TOPICS]
    topics = hub.allowed(asked, request.user) if admin.site.has_permission(request) else frozenset()
    if not topics:
        return HttpResponseForbidden()
    found = events(hub, topics, is_open=watch_client(request.META))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would keep events back
    return StreamingHttpResponse(found, content_type="text/event-stream", headers=headers)
