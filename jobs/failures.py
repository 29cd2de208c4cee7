"""Operators' notes on failures and acknowledgements; each is audited."""

from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from jobs import audit, taking_back
from jobs.errors import StateConflict
from jobs.models import FailureGroup
from scheduler_project.links import page
from scheduler_project.text import line

LONGEST_NOTE: Final = 4_000
_KIND: Final = "failure"  #: in an operator action's `undo`


def undo_of(group: FailureGroup) -> str:
    """What takes back the latest note or acknowledgement."""
    return f"{_KIND}/{group.pk}"


def note(group: FailureGroup, text: str, *, actor: str) -> bool:
    """Set a failure's note, for other operators. Returns whether that changed anything.

    `group` has the note that the operator saw. Raises StateConflict if it is another one by now.
    """
    text, seen = line(text, LONGEST_NOTE), group.note
    with transaction.atomic():
        _lock(group)
        if group.note == text:
            return False
        if group.note.splitlines() != seen.splitlines():  # forms send line breaks in their own way
            raise StateConflict(gettext("somebody has changed the note since this page was loaded"))
        changes = {"note": (group.note, text)}
        _update(group, note=text)
        _record(group, actor, "noted", "", changes, undo=undo_of(group))
    return True


def acknowledge(group: FailureGroup, *, actor: str, reason: str = "") -> bool:
    """Close a failure until another job dies with it. Returns whether that changed anything."""
    now = timezone.now()
    with transaction.atomic():
        _lock(group)
        was, by = group.acknowledged_at, group.acknowledged_by
        if was and was >= group.last_seen:
            return False
        _update(group, acknowledged_at=now, acknowledged_by=actor)
        changes: dict[str, Any] = {"acknowledged_at": (was.isoformat() if was else None, now.isoformat())}
        if was:
            changes["acknowledged_by"] = (by, actor)
        _record(group, actor, "acknowledged", reason, changes, undo=undo_of(group))
    return True


def reopen(group: FailureGroup, *, actor: str, reason: str = "") -> bool:
    """Undo an acknowledgement. Returns whether there was one."""
    with transaction.atomic():
        _lock(group)
        if not group.acknowledged_at:
            return False
        changes = {"acknowledged_by": (group.acknowledged_by, "")}
        _update(group, acknowledged_at=None, acknowledged_by="")
        _record(group, actor, "reopened", reason, changes)
    return True


def _lock(group: FailureGroup) -> None:
    """Read it again, for somebody may have changed it since."""
    group.refresh_from_db(from_queryset=FailureGroup.objects.select_for_update())


def _update(group: FailureGroup, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(group, name, value)
    group.save(update_fields=list(fields))


def _record(
    group: FailureGroup, actor: str, verb: str, reason: str, changes: dict[str, tuple[Any, Any]], undo: str = ""
) -> None:
    link = page("jobs_failuregroup_change", group.pk)
    audit.record(
        actor=actor, verb=verb, target=f"failure {group}", reason=reason, link=link, changes=changes, undo=undo
    )


def _is_as_left(key: str, changes: taking_back.Changes) -> bool:
    group = FailureGroup.objects.filter(pk=key).first()
    if group is None:
        return False
    if "note" in changes:
        return bool(group.note == changes["note"][1])
    at = group.acknowledged_at
    return at is not None and at.isoformat() == changes["acknowledged_at"][1]


def _take_back(key: str, changes: taking_back.Changes, actor: str) -> None:
    group = FailureGroup.objects.select_for_update().get(pk=key)
    if "note" in changes:
        note(group, changes["note"][0], actor=actor)
    elif changes["acknowledged_at"][0] is None:
        reopen(group, actor=actor)
    else:  # it had recurred after an earlier acknowledgement
        by = changes["acknowledged_by"]
        at = datetime.fromisoformat(changes["acknowledged_at"][0])
        _update(group, acknowledged_at=at, acknowledged_by=by[0])
        _record(group, actor, "reopened", "", {"acknowledged_by": (by[1], by[0])})


taking_back.add(_KIND, taking_back.Way("jobs.change_failuregroup", _is_as_left, _take_back))
