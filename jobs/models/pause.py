"""Pauses of queues, job types and campaigns."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from scheduler_project.text import LONGEST_ID


class PauseKind(models.TextChoices):
    """What a pause holds back."""

    QUEUE = "queue", gettext_lazy("queue")
    TYPE = "type", gettext_lazy("job type")
    CAMPAIGN = "campaign", gettext_lazy("campaign")


class Pause(models.Model):
    """Jobs of one queue, type or campaign do not start until the pause ends or somebody resumes them.

    Only jobs/pauses.py writes these; they are never deleted.
    """

    kind = models.CharField(max_length=8, choices=PauseKind.choices)
    name = models.CharField(
        max_length=LONGEST_ID, help_text=gettext_lazy("Name of the queue or job type, or ID of the campaign.")
    )
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=120)
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True, blank=True, help_text=gettext_lazy("Empty: until resumed."))
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=120, blank=True)
    ended_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = gettext_lazy("pause")
        verbose_name_plural = gettext_lazy("pauses")
        ordering: ClassVar = ["-id"]
        default_permissions = ("view",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "name"], condition=Q(ended_at=None), name="one_pause_at_a_time")
        ]

    def __str__(self) -> str:
        """As the audit trail keeps it, in one language."""
        return f"{'job type' if self.kind == PauseKind.TYPE else self.kind} {self.name}"

    @property
    def key(self) -> str:
        """Its name in Redis."""
        return f"{self.kind}:{self.name}"
