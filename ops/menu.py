"""Menu groups and badges of other apps.

Not in ops/admin, which cannot be imported before all apps are ready: apps register here in ready().
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

Group = tuple[str, list[tuple[str, str, str, str]]]  #: title; name, page, icon and permission of each link
groups: list[Callable[[Any], Group]] = []
badges: dict[str, Callable[[HttpRequest], str]] = {}


def add_group(group: Callable[[Any], Group]) -> None:
    """Show a group of links; `group` gets the user. A second call with the same function changes nothing."""
    if group not in groups:
        groups.append(group)


def add_badge(page: str, badge: Callable[[HttpRequest], str]) -> None:
    """Show what `badge` returns beside the link to `page`, unless it is empty."""
    badges[page] = badge
