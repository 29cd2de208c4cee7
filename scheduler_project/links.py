"""Addresses of pages, where pages are installed."""

from typing import Any

from django.urls import NoReverseMatch, reverse


def page(name: str, *args: Any) -> str:
    """The address of a page of the admin; empty without ops/, which has the pages."""
    try:
        return reverse(f"admin:{name}", args=args)
    except NoReverseMatch:
        return ""
