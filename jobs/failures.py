"""Operators' notes on failures and acknowledgements; each is audited."""

from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from jobs import audit, taking_back
from jobs.models import FailureGroup
from scheduler_project.links import page
from scheduler_project.text import line

LONGEST_NOTE: Final = 4_000
_KIND: Final = "failure"  #: in an operator action's `undo`


def undo_of(group: FailureGroup) -> str:
    """What takes back the latest note or acknowledgement."""
    return f"{_KIND}/{group.pk}"


def note(group: FailureGroup, text: str, *, actor: str) -> None:
    """Set a failure's note, for other operators."""
    text = line(text, LONGEST_NOTE)
    with transaction.atomic():
        FailureGroup.objects.filter(pk=group.pk).update(note=text)
        _record(group, actor, "noted", "", {"note": (group.note, text)}, undo=undo_of(group))


def acknowledge(group: FailureGroup, *, actor: str, reason: str = "") -> None:
    """Close a failure until another job dies with it."""
    now = timezone.now()
    with transaction.atomic():
        FailureGroup.objects.filter(pk=group.pk).update(acknowledged_at=now, acknowledged_by=actor)
        changes = {"acknowledged_at": (None, now.isoformat())}
        _record(group, actor, "acknowledged", reason, changes, undo=undo_of(group))


def reopen(group: FailureGroup, *, actor: str, reason: str = "") -> None:
    """Undo an acknowledgement."""
    with transaction.atomic():
        FailureGroup.objects.filter(pk=group.pk).update(acknowledged_at=None, acknowledged_by="")
        _record(group, actor, "reopened", reason, {"acknowledged_by": (group.acknowledged_by, "")})


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
    group = FailureGroup.objects.get(pk=key)
    if "note" in changes:
        note(group, changes["note"][0], actor=actor)
    else:
        reopen(group, actor=actor)


taking_back.add(_KIND, taking_back.Way("jobs.change_failuregroup", _is_as_left, _take_back))
