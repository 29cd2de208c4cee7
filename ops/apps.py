"""The operators' pages. The app has no models: permissions depend on the app label of their model, which is jobs."""

from django.apps import AppConfig


class OpsConfig(AppConfig):
    """Every job runs without it."""

    name = "ops"
    verbose_name = "Operations"
