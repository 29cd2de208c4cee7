"""The calendars of campaigns."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy

from scheduler_project.text import LONGEST_ID


class CampaignCalendar(models.Model):
    """How a campaign's world time is written; jobs/calendars.py says which of the two calendars counts."""

    campaign_id = models.CharField(gettext_lazy("campaign"), max_length=LONGEST_ID, primary_key=True)
    own = models.JSONField(null=True, blank=True, help_text=gettext_lazy("Set in the admin."))
    served = models.JSONField(null=True, blank=True, help_text=gettext_lazy("From the main API."))
    fault = models.TextField(blank=True, help_text=gettext_lazy("Why the main API's calendar is not used."))
    asked_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("When the main API was last asked for it.")
    )

    class Meta:
        default_permissions: ClassVar = ("change",)
        verbose_name = gettext_lazy("calendar")

    def __str__(self) -> str:
        return self.campaign_id
