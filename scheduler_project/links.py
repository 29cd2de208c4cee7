"""URLs of the admin's pages, if ops/ is installed."""

from typing import Any

from django.urls import NoReverseMatch, reverse


def page(name: str, *args: Any) -> str:
    """Return the URL of an admin page, or an empty string without ops/."""
    try:
        return reverse(f"admin:{name}", args=args)
    except NoReverseMatch:
        return ""
