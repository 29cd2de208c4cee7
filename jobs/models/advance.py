"""The movements of campaigns' world time."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy

from scheduler_project.text import LONGEST_ID


class AdvanceSource(models.TextChoices):
    """What the service knows a movement from."""

    JOB = "job", gettext_lazy("a job of the scheduler")
    MESSAGE = "message", gettext_lazy("a message of the main API")
    CLOCK = "clock", gettext_lazy("reading the campaigns' clocks")


class WorldAdvance(models.Model):
    """One movement of a campaign's world time. The jobs that it brought carry its request ID.

    Only jobs/schedules/advances.py writes it. A job records where it moves time to before it asks the main API.
    """

    campaign_id = models.CharField(gettext_lazy("campaign"), max_length=LONGEST_ID)
    from_time = models.CharField(
        max_length=32, blank=True, help_text=gettext_lazy("World time before; empty if unknown.")
    )
    to_time = models.CharField(max_length=32)
    source = models.CharField(max_length=7, choices=AdvanceSource.choices)
    job_id = models.UUIDField(null=True, blank=True, help_text=gettext_lazy("The job that moves time."))
    request_id = models.CharField(max_length=64, help_text=gettext_lazy("Of the jobs that it brought."))
    created_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("When the jobs that look for what is due were submitted.")
    )

    class Meta:
        ordering: ClassVar = ["-id"]
        default_permissions: ClassVar = ()
        constraints: ClassVar = [models.UniqueConstraint(fields=["job_id"], name="one_advance_per_job")]
        indexes: ClassVar = [
            models.Index(fields=["campaign_id", "-id"], name="advance_by_campaign"),
            models.Index(fields=["request_id"], name="advance_by_request"),
            models.Index(fields=["created_at"], name="advance_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.from_time or 'unknown'} to {self.to_time}"


class AdvancePrediction(models.Model):
    """What was said that a job's advance would do, when it was submitted from a what-if.

    Only jobs/schedules/predictions.py reads and writes `changes`.
    """

    job_id = models.UUIDField(primary_key=True, editable=False)
    campaign_id = models.CharField(gettext_lazy("campaign"), max_length=LONGEST_ID)
    from_time = models.CharField(max_length=32, help_text=gettext_lazy("World time then."))
    to_time = models.CharField(max_length=32)
    created_at = models.DateTimeField(default=timezone.now)
    changes = models.BinaryField(help_text=gettext_lazy("Of each settlement, structure and event; compressed."))

    class Meta:
        default_permissions: ClassVar = ()

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.from_time} to {self.to_time}"
