from collections.abc import Iterable
from typing import Any

from django.apps import AppConfig
from django.urls import include, path

from scheduler_project import routes


class ApiConfig(AppConfig):
    """The HTTP API; every job runs without it."""

    name = "api"

    def ready(self) -> None:
        routes.add(self.name, _urls)


def _urls() -> Iterable[Any]:
    return [path("api/", include("api.urls"))]
