"""The site of all admin pages."""

import time
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
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

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """What the command palette finds now, on one page.

        Unfold's finds no page but the lists of models, shows the same for five minutes, and fails for a page of
        results that there is not.
        """
        began = time.perf_counter()
        term = request.GET.get("s", "").strip().lower()
        if not term:
            return HttpResponse()
        found = import_string(settings.PALETTE)(request, term)
        pages = Paginator(found, per_page=max(1, len(found)))
        context = {
            "page_obj": pages,
            "results": pages.page(1),
            "page_counter": 0,
            "execution_time": time.perf_counter() - began,
        }
        headers = {"HX-Trigger": "search"}
        return TemplateResponse(request, "unfold/helpers/command_results.html", context, headers=headers)

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
