"""URLs of the admin's pages, if ops/ is installed."""

from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse


def page(name: str, *args: Any) -> str:
    """Return the URL of an admin page, or an empty string without ops/."""
    try:
        url = reverse(f"admin:{name}", args=args)
    except NoReverseMatch:
        return ""
    if url.startswith(f"{settings.URL_PREFIX}/"):
        return url
    return f"{settings.URL_PREFIX}{url}"  # Django knows the prefix in threads that serve requests only
