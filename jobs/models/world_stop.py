"""World times at which a campaign's time stops for a job."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy

from scheduler_project.text import LONGEST_ID


class StopPhase(models.TextChoices):
    """What the scheduler does with a stop; it looks only at those that do not wait."""

    WAITING = "waiting", gettext_lazy("world time has not reached it, or stands at an earlier stop")
    OPEN = "open", gettext_lazy("world time stands at it: what is due by then is applied, then its job runs")
    SETTLING = "settling", gettext_lazy("its job has ended: the schedules are recalculated at its time")
    LIFTED = "lifted", gettext_lazy("time goes on: what is due after it fires")


class WorldStop(models.Model):
    """A campaign's world time stops here until a job has ended. Gone once time has gone on.

    Only jobs/stops.py writes it. Times are text that sorts by time (`sortable`).
    """

    campaign_id = models.CharField(gettext_lazy("campaign"), max_length=LONGEST_ID)
    at = models.CharField(max_length=32, help_text=gettext_lazy("World time."))
    job_id = models.UUIDField(unique=True)
    phase = models.CharField(max_length=8, choices=StopPhase.choices, default=StopPhase.WAITING)
    opened_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Since when world time stands at it.")
    )
    request_id = models.CharField(
        max_length=64, blank=True, help_text=gettext_lazy("Of the jobs that follow; set once it is open.")
    )
    settling_since = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("When the recalculations were submitted.")
    )

    class Meta:
        ordering: ClassVar = ["at", "id"]
        default_permissions: ClassVar = ()
        indexes: ClassVar = [
            models.Index(fields=["campaign_id", "at", "id"], name="stop_by_campaign"),
            models.Index(
                fields=["campaign_id", "at"], name="stop_in_work", condition=~models.Q(phase=StopPhase.WAITING)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id} at {self.at}"
