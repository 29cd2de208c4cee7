"""URLs of the admin's pages, if ops/ is installed."""

from typing import Any

from django.conf import settings
from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse


def page(name: str, *args: Any) -> str:
    """Return the URL of an admin page, or an empty string without ops/. `args` may hold any characters."""
    try:
        url = reverse(f"admin:{name}", args=[quote(arg) for arg in args])
    except NoReverseMatch:
        return ""
    if url.startswith(f"{settings.URL_PREFIX}/"):
        return url
    return f"{settings.URL_PREFIX}{url}"  # Django knows the prefix in threads that serve requests only
