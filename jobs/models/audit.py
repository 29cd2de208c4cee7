"""The audit trail: moves of jobs, and operators' actions on anything else."""

from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from jobs.models.indexes import Inlined, OfOneState
from jobs.models.job import Job
from jobs.models.job_action import JobAction
from jobs.states import State

LONGEST_UNDO = 40
LONGEST_TARGET = 400  #: characters: a kind, and an id or name of 255


BY_PEOPLE: Final = Q(actor__startswith="user:")
SINGLE: Final = Q(action__isnull=True)
OF_ACTIONS: Final = Q(action__isnull=False)
OF_DEAD: Final = Q(now=State.DEAD.value)


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Queries that a partial index answers."""

    def by_people(self) -> "models.QuerySet[AuditEntry]":
        """Moves that people made, however many workers made between them."""
        return self.filter(Inlined(BY_PEOPLE))

    def of_dead(self) -> "models.QuerySet[AuditEntry]":
        """Moves that made dead letters."""
        return self.filter(Inlined(OF_DEAD))


class AuditEntry(models.Model):
    """One move of one job. Never changed; deleted only with its job, by retention."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="audit_trail", db_constraint=False, verbose_name=gettext_lazy("job")
    )
    at = models.DateTimeField(gettext_lazy("at"), default=timezone.now)
    was = models.CharField(
        gettext_lazy("before"), max_length=9, blank=True, help_text=gettext_lazy("Empty when the job was submitted.")
    )
    now = models.CharField(gettext_lazy("after"), max_length=9)
    attempt = models.PositiveIntegerField(
        gettext_lazy("attempt"),
    )
    actor = models.CharField(
        gettext_lazy("actor"),
        max_length=120,
        help_text=gettext_lazy("user:…, token:…, cron:…, listener, worker:… or scheduler."),
    )
    reason = models.TextField(gettext_lazy("reason"), blank=True)
    duration_ms = models.FloatField(
        gettext_lazy("duration (ms)"),
        null=True,
        blank=True,
        help_text=gettext_lazy("Duration of the attempt that ended."),
    )
    error = models.TextField(gettext_lazy("error"), blank=True)
    details = models.JSONField(
        gettext_lazy("details"),
        null=True,
        blank=True,
        help_text=gettext_lazy(
            "Calls and traceback of the attempt that ended; or where an operator's request came from, and what "
            "it changed: {field: [before, after]}, and whether it may have been applied."
        ),
    )

    action = models.ForeignKey(
        JobAction,
        models.DO_NOTHING,
        null=True,
        blank=True,
        db_index=False,
        db_constraint=False,
        related_name="entries",
        verbose_name=gettext_lazy("action"),
    )

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("audit entry")
        ordering: ClassVar = ["id"]
        verbose_name_plural = gettext_lazy("audit trail")
        indexes: ClassVar = [
            models.Index(fields=["id"], name="audit_by_people", condition=BY_PEOPLE),
            models.Index(fields=["id"], name="audit_single_by_people", condition=BY_PEOPLE & SINGLE),
            models.Index(fields=["action", "id"], name="audit_of_actions", condition=OF_ACTIONS),
            OfOneState(fields=["now", "at"], name="audit_of_dead", condition=OF_DEAD),
        ]

    def __str__(self) -> str:
        return f"{self.was or '-'} → {self.now}: {self.actor}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to change an entry that is written.

        Raises TypeError.
        """
        if self.pk is not None:
            raise TypeError("audit entries are never changed")
        super().save(*args, **kwargs)


class OperatorAction(models.Model):
    """An operator's action on something other than a job: a cron task, a pause, the breaker, an alert, a user.

    Written by jobs/audit.py in the transaction of the action; never changed or deleted.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=120, help_text=gettext_lazy("user:…, token:… or command."))
    verb = models.CharField(max_length=40, help_text=gettext_lazy("In the past tense: paused, changed, forced open."))
    target = models.CharField(
        db_column="thing",
        max_length=LONGEST_TARGET,
        help_text=gettext_lazy("What was changed, in words: cron task nightly."),
    )
    link = models.TextField(blank=True, help_text=gettext_lazy("The target's page."))
    reason = models.TextField(blank=True)
    changes = models.JSONField(null=True, blank=True, help_text=gettext_lazy("{field: [before, after]}"))
    ip = models.CharField(gettext_lazy("IP address"), max_length=100, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    undo = models.CharField(
        max_length=LONGEST_UNDO,
        blank=True,
        default="",
        db_default="",
        help_text=gettext_lazy("What takes it back: resume/7. Empty: nothing."),
    )

    class Meta:
        db_table = "jobs_operatoract"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.target}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to change an existing entry.

        Raises TypeError.
        """
        if self.pk is not None:
            raise TypeError("operator actions are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse.

        Raises TypeError.
        """
        raise TypeError("operator actions are never deleted")
