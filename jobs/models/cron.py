"""Cron tasks, and what became of each of their firings."""

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from jobs.models.choices import PRIORITIES
from jobs.states import Priority
from scheduler_project.cron_expression import next_match
from scheduler_project.text import LONGEST_ID


class Misfire(models.TextChoices):
    """What happens to runs that were missed because no scheduler was running."""

    SKIP = "skip", gettext_lazy("skip missed runs")
    ONCE = "once", gettext_lazy("run once to catch up")
    ALL = "all", gettext_lazy("run every missed one")


class CronTask(models.Model):
    """Submits a job of `type` whenever `expression` matches."""

    name = models.CharField(gettext_lazy("name"), max_length=80, unique=True)
    type = models.CharField(gettext_lazy("type"), max_length=64)
    campaign_id = models.CharField(
        gettext_lazy("campaign"),
        max_length=LONGEST_ID,
        blank=True,
        help_text=gettext_lazy("Leave empty for all campaigns."),
    )
    payload = models.JSONField(gettext_lazy("payload"), default=dict, blank=True)
    priority = models.PositiveSmallIntegerField(gettext_lazy("priority"), choices=PRIORITIES, default=Priority.NORMAL)
    expression = models.CharField(
        gettext_lazy("expression"), max_length=120, help_text=gettext_lazy("Five fields, or six with seconds first.")
    )
    time_zone = models.CharField(gettext_lazy("time zone"), max_length=64, default="UTC")
    enabled = models.BooleanField(gettext_lazy("enabled"), default=True)
    misfire = models.CharField(
        gettext_lazy("missed runs"),
        max_length=4,
        choices=Misfire.choices,
        default=Misfire.ONCE,
        help_text=gettext_lazy("What happens to runs that were missed because no scheduler was running."),
    )
    disabled_until = models.DateTimeField(
        gettext_lazy("disabled until"),
        null=True,
        blank=True,
        help_text=gettext_lazy("Re-enabled at this time. Leave empty to re-enable it manually."),
    )
    disabled_reason = models.CharField(max_length=300, blank=True, default="", editable=False)
    next_fire_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_fired_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = gettext_lazy("cron task")
        verbose_name_plural = gettext_lazy("cron tasks")
        ordering: ClassVar = ["name"]
        indexes: ClassVar = [models.Index(fields=["next_fire_at"], name="cron_next", condition=Q(enabled=True))]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and compute the next firing from now if a field that it depends on has changed.

        Otherwise it stays, for it may be due. Lock the row first: the scheduler moves it on.
        """
        if "update_fields" not in kwargs:
            self.next_fire_at = self._find_next() if self.enabled else None
            if self.enabled:
                self.disabled_until, self.disabled_reason = None, ""
        super().save(*args, **kwargs)

    def _find_next(self) -> datetime:
        alike = CronTask.objects.filter(
            pk=self.pk, enabled=True, expression=self.expression, time_zone=self.time_zone, next_fire_at__isnull=False
        )
        stored = alike.values_list("next_fire_at", flat=True).first()
        return stored or next_match(self.expression, self.time_zone, timezone.now())


class FiringOutcome(models.TextChoices):
    """What became of a firing."""

    ON_TIME = "on_time", gettext_lazy("on time")
    LATE = "late", gettext_lazy("late")
    MISSED = "missed", gettext_lazy("missed")
    BY_HAND = "by_hand", gettext_lazy("manual")


class CronFiring(models.Model):
    """One firing of a cron task that made a job, or several that were missed; written with the job itself.

    The newest of each task are kept (jobs.cron.firing.KEPT).
    """

    task = models.ForeignKey(CronTask, on_delete=models.CASCADE, related_name="firings")
    due_at = models.DateTimeField()
    fired_at = models.DateTimeField(default=timezone.now)
    outcome = models.CharField(max_length=7, choices=FiringOutcome.choices)
    missed = models.PositiveIntegerField(
        default=0, help_text=gettext_lazy("Earlier runs for which no job was created.")
    )
    job_id = models.UUIDField(null=True, blank=True, help_text=gettext_lazy("Empty if no job was created."))
    actor = models.CharField(max_length=120)

    class Meta:
        verbose_name = gettext_lazy("cron firing")
        verbose_name_plural = gettext_lazy("cron firings")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["task", "-id"], name="firing_by_task")]

    def __str__(self) -> str:
        return f"{self.due_at:%Y-%m-%d %H:%M:%S} {self.get_outcome_display()}"
