"""Alerts: `alerting.critical(title, message, details)`, `.warning` and `.info` raise them.

Raising an alert costs one database row. The monitor process (`manage.py monitor`) notifies the handlers: those defined
in the admin, and functions with `@register_handler` in a module `alert_handlers` of an installed app.
"""

from monitoring.alerting.code_handlers import register_handler
from monitoring.alerting.store import acknowledge, critical, info, open_alerts, resolve, warning
from monitoring.models import Severity

__all__ = ["Severity", "acknowledge", "critical", "info", "open_alerts", "register_handler", "resolve", "warning"]
