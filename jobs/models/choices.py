"""Choices of several models."""

from typing import Final

from django.utils.translation import gettext_lazy

from jobs.states import Priority

_LABELS: Final = {
    Priority.LOW: gettext_lazy("Low"),
    Priority.NORMAL: gettext_lazy("Normal"),
    Priority.HIGH: gettext_lazy("High"),
    Priority.CRITICAL: gettext_lazy("Critical"),
}
PRIORITIES: Final = [(priority.value, _LABELS[priority]) for priority in Priority]
