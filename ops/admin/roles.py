"""Who may do what, for people who need something done that they may not do themselves."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

from ops.admin.base import render_page, require
from ops.reads.roles import find_roles


@require("jobs.view_job")
def overview(request: HttpRequest) -> HttpResponse:
    return render_page(
        request, "ops/roles.html", {"title": gettext("Who may do what"), "roles": find_roles(request.user)}
    )
