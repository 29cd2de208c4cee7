"""The operators' application: it has no models, for permissions hang on the label of the app that has them."""

from django.apps import AppConfig


class OpsConfig(AppConfig):
    """Pages under /admin/; without it every job still runs."""

    name = "ops"
    verbose_name = "Operations"
