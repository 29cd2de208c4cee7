"""The site of all admin pages."""

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite


class AdminSite(UnfoldAdminSite):
    """Unfold's."""

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Django's list of all models, made once something reads it: every page gets it, and the menu is our own."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))
