"""Campaigns' world clocks, which move world time by themselves."""

import uuid
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from jobs.world.ticking import CatchUpPolicy
from scheduler_project.text import LONGEST_ID


class ClockState(models.TextChoices):
    """Whether a world clock moves time."""

    OFF = "off", gettext_lazy("off")
    RUNNING = "running", gettext_lazy("running")
    PAUSED = "paused", gettext_lazy("paused")


class WorldClock(models.Model):
    """The settings of a campaign's world clock, where it is, and its last step; off until somebody starts it.

    Only jobs/world_clocks/ writes it. Rows are never deleted: the numbers of steps only grow, so that each step has one
    job.
    """

    campaign_id = models.CharField(gettext_lazy("campaign"), max_length=LONGEST_ID, primary_key=True)
    key = models.UUIDField(
        default=uuid.uuid4, editable=False, help_text=gettext_lazy("Part of the cause of each step.")
    )
    state = models.CharField(max_length=7, choices=ClockState.choices, default=ClockState.OFF)
    actor = models.CharField(max_length=120, blank=True, help_text=gettext_lazy("Who set the state."))
    reason = models.CharField(max_length=500, blank=True)
    since = models.DateTimeField(default=timezone.now)

    rate = models.DecimalField(
        max_digits=13, decimal_places=6, default=Decimal(1), help_text=gettext_lazy("World seconds a real second.")
    )
    step = models.PositiveIntegerField(default=60, help_text=gettext_lazy("Real seconds."))
    most_per_step = models.BigIntegerField(default=86_400, help_text=gettext_lazy("World seconds."))
    most_per_day = models.BigIntegerField(
        default=7 * 86_400, help_text=gettext_lazy("World seconds in a day of the time zone.")
    )
    quiet_hours = models.CharField(max_length=200, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    catch_up = models.CharField(
        max_length=4, choices=[(c.value, c.value) for c in CatchUpPolicy], default=CatchUpPolicy.SKIP.value
    )

    counted_until = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Real time up to here has been counted.")
    )
    owed = models.BigIntegerField(
        default=0, help_text=gettext_lazy("World nanoseconds that were earned and not moved.")
    )
    day = models.DateField(null=True, blank=True, help_text=gettext_lazy("The day of `moved`, in the time zone."))
    moved = models.BigIntegerField(default=0, help_text=gettext_lazy("World seconds."))
    next_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("When the next step is due; empty unless it runs.")
    )

    steps = models.PositiveBigIntegerField(default=0, help_text=gettext_lazy("The number of the last step."))
    step_job_id = models.UUIDField(null=True, blank=True, help_text=gettext_lazy("The job of the last step."))
    step_seconds = models.BigIntegerField(default=0, help_text=gettext_lazy("World seconds of the last step."))
    step_day = models.DateField(null=True, blank=True)

    problem = models.CharField(
        max_length=500, blank=True, help_text=gettext_lazy("What last held it up, or made it lose time.")
    )
    problem_at = models.DateTimeField(null=True, blank=True)
    waits = models.BooleanField(default=False, help_text=gettext_lazy("Whether the problem holds it up now."))

    class Meta:
        verbose_name = gettext_lazy("world clock")
        verbose_name_plural = gettext_lazy("world clocks")
        ordering: ClassVar = ["campaign_id"]
        default_permissions: ClassVar = ("change",)
        permissions: ClassVar = [("pause_worldclock", "Can pause and resume world clocks")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(rate__gt=0, step__gt=0), name="world_clock_goes_forward")
        ]
        indexes: ClassVar = [models.Index(fields=["next_at"], name="world_clock_next")]

    def __str__(self) -> str:
        return f"world clock of {self.campaign_id}"
