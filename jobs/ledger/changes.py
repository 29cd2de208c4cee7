"""What a move changed beside the state, as its audit entry keeps it: {field: [before, after]}, in JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from jobs.ledger.rows import Move
from jobs.models import Job
from jobs.states import State

#: The columns whose change is kept: what an operator sees, and what an undo needs.
KEPT: Final = ("due_at", "priority", "failures", "finished_at")
_MOMENTS: Final = ("due_at", "finished_at")

Change = tuple[Any, Any]


def changes_of(wanted: Move) -> dict[str, Change]:
    """What the move changes; none for the end of an attempt, which is recorded by its outcome.

    Call it before the job has moved.
    """
    if wanted.job.state == State.RUNNING:
        return {}
    changed = {name: (getattr(wanted.job, name), wanted.changes[name]) for name in KEPT if name in wanted.changes}
    return {name: (_plain(was), _plain(now)) for name, (was, now) in changed.items() if was != now}


def differences_from(original: Job, copy: Job) -> dict[str, Change]:
    """How a copy differs from its original: its payload's fields by path, priority and due time."""
    was, now = _flat(original.payload, "payload."), _flat(copy.payload, "payload.")
    found = {name: (was.get(name), now.get(name)) for name in sorted({*was, *now}) if was.get(name) != now.get(name)}
    for name in ("priority", "due_at"):
        before, after = getattr(original, name), getattr(copy, name)
        if before != after:
            found[name] = (_plain(before), _plain(after))
    return found


def columns_before(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The columns as they were before the move with these changes."""
    return {name: _parse(name, changes[name][0]) for name in KEPT if name in changes}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _parse(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name in _MOMENTS and value is not None else value


def _flat(fields: Any, path: str) -> dict[str, Any]:
    """{"payload.a.b": 1} for {"a": {"b": 1}}."""
    flat: dict[str, Any] = {}
    for name, value in fields.items() if isinstance(fields, dict) else ():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, dict) and value else {f"{path}{name}": value}
    return flat
