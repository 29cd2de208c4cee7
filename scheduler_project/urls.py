"""URLs: health and metrics at the root, the HTTP API, the admin with RQ's dashboard."""

from importlib.util import find_spec

from django.apps import apps
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.site.site_header = "Campaign scheduler"
admin.site.site_title = "Campaign scheduler"
admin.site.index_title = "Operations"

urlpatterns = [
    *([path("", include("monitoring.urls"))] if apps.is_installed("monitoring") else []),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    *([path("api/", include("api.urls"))] if find_spec("api") else []),
    *(
        [path("admin/queues/", include("ops.admin.queues")), path("admin/", admin.site.urls)]
        if apps.is_installed("ops")
        else []
    ),
]

handler403 = "scheduler_project.faults.forbidden"
handler404 = "scheduler_project.faults.not_found"
handler500 = "scheduler_project.faults.server_error"
