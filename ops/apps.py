"""The operators' pages. The app has no models: permissions depend on the app label of their model, which is jobs."""

from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.urls import include, path
from django.utils.translation import gettext_lazy

from scheduler_project import routes


class OpsConfig(AppConfig):
    """Every job runs without it."""

    name = "ops"
    verbose_name = gettext_lazy("Operations")

    def ready(self) -> None:
        from ops import logins  # models are not loaded when Django imports this module
        from ops.live import hub, topics

        routes.add(self.name, _urls)
        logins.watch()
        topics.add_all(hub.hub)


def _urls() -> Iterable[Any]:
    from ops.admin import live  # needs all apps

    return [
        path("admin/live/", live.stream, name="live"),
        path("admin/queues/", include("ops.admin.queues")),
        path("admin/", admin.site.urls),
    ]
