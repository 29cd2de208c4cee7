"""Menu groups and badges of other apps.

Not in ops/admin, which cannot be imported before all apps are ready: apps register here in ready().
"""

from collections.abc import Callable
from functools import cache

from django.http import HttpRequest
from django.urls import reverse

#: Title; name, page and icon of each link, and the permissions: one of them is enough to see it.
Group = tuple[str, list[tuple[str, str, str, tuple[str, ...]]]]
groups: list[Callable[[], Group]] = []
badges: dict[str, tuple[Callable[[HttpRequest], str], tuple[str, ...]]] = {}  #: and who may see it


def add_group(group: Callable[[], Group]) -> None:
    """Show a group of links; `group` is called once for each language. A second call with it changes nothing."""
    if group not in groups:
        groups.append(group)


def add_badge(page: str, badge: Callable[[HttpRequest], str], *permissions: str) -> None:
    """Show what `badge` returns beside the link to `page`, unless it is empty, to users with one of the permissions."""
    badges[page] = badge, permissions


def find_badges(request: HttpRequest) -> dict[str, str]:
    """The badges that the user may see, by the addresses of their pages."""
    may = cache(request.user.has_perm)
    return {reverse(page): read_badge(request, page) for page, (_, allowed) in badges.items() if any(map(may, allowed))}


def read_badge(request: HttpRequest, page: str) -> str:
    """The badge of a page, read once for a request; empty if it has none."""
    known: dict[str, str] = request.__dict__.setdefault("_badges", {})
    if page not in known:
        known[page] = badges[page][0](request) if page in badges else ""
    return known[page]
