from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig
from django.urls import include, path
from django.utils.module_loading import autodiscover_modules

from scheduler_project import routes


class MonitoringConfig(AppConfig):
    """Observes jobs through one signal and queries; every job runs without it."""

    name = "monitoring"

    def ready(self) -> None:
        from jobs.signals import job_moved  # models are not loaded when Django imports this module
        from monitoring import receivers

        routes.add(self.name, _urls)
        job_moved.connect(receivers.log_moves, dispatch_uid="monitoring.log_moves")
        job_moved.connect(receivers.count_ends, dispatch_uid="monitoring.count_ends")
        autodiscover_modules("alert_handlers")  # where apps register alert handlers in code


def _urls() -> Iterable[Any]:
    return [path("", include("monitoring.urls"))]
