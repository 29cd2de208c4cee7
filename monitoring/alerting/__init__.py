"""Alerts: `alerting.critical(title, message, details)`, `.warning`, `.info`, and who is told of them.

To raise one costs a row of the database. The monitor process (`manage.py monitor`) tells the handlers: those of the
admin, and functions marked with `@register_handler`, which belong into a module `alert_handlers` of an installed app.
"""

from monitoring.alerting.code_handlers import register_handler
from monitoring.alerting.store import acknowledge, critical, info, open_alerts, resolve, warning
from monitoring.models import Severity

__all__ = ["Severity", "acknowledge", "critical", "info", "open_alerts", "register_handler", "resolve", "warning"]
