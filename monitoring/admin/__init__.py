"""The operators' pages of alerts: what is open, who is told of it, and what became of each message."""

from django.apps import apps

if apps.is_installed("ops"):  # the pages are built from its parts
    from monitoring.admin import alert, delivery, handler  # noqa: F401 - they register themselves
