"""The operators' pages of alerts: what is open, who is told of it, and what became of each message."""

from monitoring.admin import alert, delivery, handler

__all__ = ["alert", "delivery", "handler"]
