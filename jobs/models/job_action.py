"""Operators' actions on jobs."""

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy

from jobs.models.job import new_job_id


class JobAction(models.Model):
    """An operator's action on jobs: one line of the audit trail, however many jobs it moved.

    Written by jobs/actions.py; never deleted, so that it outlives the entries of its jobs.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.UUIDField(
        unique=True,
        default=new_job_id,
        editable=False,
        help_text=gettext_lazy("By which the steps of a bulk action find it."),
    )
    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=120, help_text=gettext_lazy("user:…, token:… or command."))
    verb = models.CharField(
        max_length=20, help_text=gettext_lazy("The command: cancel, retry; of an undo, what it took back.")
    )
    reason = models.TextField(blank=True, help_text=gettext_lazy("What the operator typed; empty for nothing."))
    selection = models.TextField(blank=True, help_text=gettext_lazy("The filter of a bulk action, in words."))
    due_at = models.DateTimeField(null=True, blank=True, help_text=gettext_lazy("The new due time, if it set one."))
    jobs = models.IntegerField(default=0, help_text=gettext_lazy("Jobs that it moved."))
    skipped = models.IntegerField(default=0, help_text=gettext_lazy("Jobs that it left as they were."))
    undoes = models.ForeignKey(
        "self", models.DO_NOTHING, null=True, blank=True, db_constraint=False, related_name="undone_by"
    )
    ip = models.CharField(gettext_lazy("IP address"), max_length=100, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        default_permissions: ClassVar = ()  # the audit trail's own permission shows it

    def __str__(self) -> str:
        return f"{self.actor}: {'undo of ' if self.undoes_id else ''}{self.verb}, {self.jobs} jobs"

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse.

        Raises TypeError.
        """
        raise TypeError("actions on jobs are never deleted")
