"""URLs: the start page, and what each installed app adds (scheduler_project/routes.py)."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from scheduler_project import routes

admin.autodiscover()
admin.site.site_header = "Campaign scheduler"
admin.site.site_title = "Campaign scheduler"
admin.site.index_title = "Operations"

urlpatterns = [path("", RedirectView.as_view(pattern_name="admin:index")), *routes.patterns()]

handler400 = "scheduler_project.faults.bad_request"
handler403 = "scheduler_project.faults.forbidden"
handler404 = "scheduler_project.faults.not_found"
handler500 = "scheduler_project.faults.server_error"
