"""The site of all admin pages."""

import time
from functools import partial, wraps
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.utils.translation import gettext
from unfold.sites import UnfoldAdminSite

from scheduler_project.languages import PerLanguage

_MENU: Final = "sidebar_navigation"


class AdminSite(UnfoldAdminSite):
    """Unfold's, which makes for each page only what differs between pages."""

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._frame: PerLanguage[dict[str, Any]] = PerLanguage()

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Django's; who presses a button after the session has ended is told so, and comes back to the button's page.

        The address that the button posts to has no page: after the login, it would refuse a permission.
        """
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def serve(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.method != "POST" or self.has_permission(request) or request.path == reverse("admin:logout"):
                return inner(request, *args, **kwargs)
            messages.warning(request, gettext("Nothing was done: your session had ended. Log in and do it again."))
            return redirect_to_login(_find_page_before(request), reverse("admin:login"))

        return serve

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


def _find_page_before(request: HttpRequest) -> str:
    """The address that the browser came from, if it is of this site."""
    before = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(before, {request.get_host()}, require_https=request.is_secure()):
        return reverse("admin:index")
    return urlsplit(before)._replace(scheme="", netloc="").geturl()


#: In Django's context too, where unfold's settings replace them.
_RENAMED: Final = frozenset({"site_title", "site_header", "site_url"})
