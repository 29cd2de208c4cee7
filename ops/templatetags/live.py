"""What live.js needs to know of a page."""

from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import json_script

from ops.live import pages
from ops.live.hub import hub
from ops.menu import find_badges

register = template.Library()


@register.simple_tag(takes_context=True)
def badges(context: Any) -> str:
    """The menu's badges, for live.js: the parts of a page that it fetches come without the menu."""
    request = context.get("request")
    if request is None or not request.user.is_authenticated:
        return ""
    return json_script(find_badges(request), "ops-badges")


@register.inclusion_tag("ops/live.html", takes_context=True)
def live(context: Any) -> dict[str, Any]:
    """The topics that the page follows, and the server's time, by which ages are counted.

    What answers a form follows nothing: asked for anew, its address shows another page.
    """
    request = context.get("request")
    match = request.resolver_match if request and request.method == "GET" else None
    topics = pages.find_topics(match.view_name, match.kwargs) if match else []
    return {"topics": sorted(hub.allowed(topics, request.user)) if topics else [], "now": timezone.now()}
