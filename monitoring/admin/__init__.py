"""The admin's pages of alerts, alert handlers and deliveries."""

from django.apps import apps

if apps.is_installed("ops"):  # the pages use its parts
    from monitoring import dashboard_source, live, menu
    from monitoring.admin import alert, delivery, handler  # noqa: F401 - they register themselves

    dashboard_source.register()
    menu.register()
    live.register()
