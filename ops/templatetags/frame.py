"""What stands around every page: its menu, and parts that are the same on all pages."""

from functools import cache, lru_cache
from typing import Any, Final
from zoneinfo import available_timezones

from django import template
from django.db.models import Model
from django.template.base import NodeList, Parser, Token
from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from jobs.models import Job, ScheduleRow
from ops.labels import label, name_event
from scheduler_project.languages import PerLanguage

register = template.Library()
_MENUS: Final = 200  #: few, but for their badges: one for each page and each set of permissions


@register.simple_tag(takes_context=True)
def menu(context: Any) -> SafeString:
    """The menu's groups and links. A menu like this one is rendered once."""
    return _render(
        tuple(
            (group["title"], group["separator"], *(tuple(item.items()) for item in group["items"]))
            for group in context["sidebar_navigation"]
        )
    )


@lru_cache(_MENUS)
def _render(groups: tuple[Any, ...]) -> SafeString:
    shown = [
        {"title": title, "separator": separator, "links": [dict(item) for item in items]}
        for title, separator, *items in groups
    ]
    return render_to_string("ops/menu.html", {"groups": shown})


@register.filter
def crumb(title: Any) -> str:
    """A part of the way to a page. What has a name is shown by it as it was given: no user "olga" is called "Olga"."""
    match title:
        case Job():
            return label(title.type)
        case ScheduleRow():
            return name_event(title)
        case Model():
            return str(title)
        case _:
            return capfirst(str(title))


@register.simple_tag
@cache
def time_zones() -> SafeString:
    """A list of all time zones for inputs; to search their directories takes longer than the rest of a page."""
    options = format_html_join("", '<option value="{}">', ((zone,) for zone in sorted(available_timezones())))
    return format_html('<datalist id="time-zones">{}</datalist>', options)


@register.tag
def once(parser: Parser, _token: Token) -> template.Node:
    """Render the block for the first page of a language, and show the same on all others.

    It may use nothing of the request, nor blocks that a page replaces.
    """
    nodes = parser.parse(("endonce",))
    parser.delete_first_token()
    return _Once(nodes)


class _Once(template.Node):
    def __init__(self, nodelist: NodeList) -> None:
        self.nodelist = nodelist
        self._kept = PerLanguage[SafeString]()

    def render(self, context: template.Context) -> SafeString:
        return self._kept.get(lambda: self.nodelist.render(context))
