"""The site of all admin pages."""

from functools import partial
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string
from unfold.sites import UnfoldAdminSite

from scheduler_project.languages import PerLanguage

_MENU: Final = "sidebar_navigation"


class AdminSite(UnfoldAdminSite):
    """Unfold's, which makes for each page only what differs between pages."""

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._frame: PerLanguage[dict[str, Any]] = PerLanguage()

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Django's list of all models, made once something reads it: every page gets it, and the menu is our own."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Django's context, unfold's settings, and the menu as its callback returns it."""
        own = super(UnfoldAdminSite, self).each_context(request)

        def make_frame() -> dict[str, Any]:
            whole = super(AdminSite, self).each_context(request)
            return {name: whole[name] for name in whole.keys() - own.keys() - {_MENU} | _RENAMED}

        menu = import_string(settings.MENU)(request) if own["has_permission"] else []
        return {**own, **self._frame.get(make_frame), _MENU: menu}


#: In Django's context too, where unfold's settings replace them.
_RENAMED: Final = frozenset({"site_title", "site_header", "site_url"})
