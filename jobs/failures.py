"""Operators' notes on failures and acknowledgements; each is audited."""

from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from jobs import audit
from jobs.models import FailureGroup
from scheduler_project.links import page
from scheduler_project.text import line

LONGEST_NOTE: Final = 4_000


def note(group: FailureGroup, text: str, *, actor: str) -> None:
    """Set a failure's note, for other operators."""
    text = line(text, LONGEST_NOTE)
    with transaction.atomic():
        FailureGroup.objects.filter(pk=group.pk).update(note=text)
        _record(group, actor, "noted", "", {"note": (group.note, text)})


def acknowledge(group: FailureGroup, *, actor: str, reason: str = "") -> None:
    """Close a failure until another job dies with it."""
    now = timezone.now()
    with transaction.atomic():
        FailureGroup.objects.filter(pk=group.pk).update(acknowledged_at=now, acknowledged_by=actor)
        _record(group, actor, "acknowledged", reason, {"acknowledged_at": (None, now.isoformat())})


def reopen(group: FailureGroup, *, actor: str, reason: str = "") -> None:
    """Undo an acknowledgement."""
    with transaction.atomic():
        FailureGroup.objects.filter(pk=group.pk).update(acknowledged_at=None, acknowledged_by="")
        _record(group, actor, "reopened", reason, {"acknowledged_by": (group.acknowledged_by, "")})


def _record(group: FailureGroup, actor: str, verb: str, reason: str, changes: dict[str, tuple[Any, Any]]) -> None:
    link = page("jobs_failuregroup_change", group.pk)
    audit.record(actor=actor, verb=verb, target=f"failure {group}", reason=reason, link=link, changes=changes)
