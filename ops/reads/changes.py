"""What a move changed, as pages show it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext, gettext_noop

from jobs.models import AuditEntry
from jobs.states import Priority
from jobs.stops import AT_WORLD_TIME

_LABELS: Final = {"due_at": gettext_noop("due"), "priority": gettext_noop("priority")}
_PAYLOAD: Final = "payload."


def read_changes(entry: AuditEntry) -> dict[str, tuple[Any, Any]]:
    """{label: (before, after)} of due time, priority and, for a copy, the fields of the payload."""
    changes: Mapping[str, Any] = (entry.details or {}).get("changes") or {}
    return {
        gettext(_LABELS[name]) if name in _LABELS else name: (_format(name, pair[0]), _format(name, pair[1]))
        for name, pair in changes.items()
        if name in _LABELS or name.startswith(_PAYLOAD)
    }


def _format(name: str, value: Any) -> Any:
    if name == "priority" and value in set(Priority):
        return Priority(value).name
    if name == "due_at" and value and datetime.fromisoformat(value) == AT_WORLD_TIME:
        return gettext("at its world time")
    return value
