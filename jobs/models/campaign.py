"""Campaigns, as far as the service knows them."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy

from scheduler_project.text import LONGEST_ID, LONGEST_NAME


class CampaignClock(models.Model):
    """What the service last saw of a campaign's clock, and the last world time it acted on."""

    campaign_id = models.CharField(gettext_lazy("campaign"), max_length=LONGEST_ID, primary_key=True)
    name = models.CharField(max_length=LONGEST_NAME, blank=True)
    is_active = models.BooleanField(gettext_lazy("active"), default=True)
    world_time = models.CharField(
        max_length=32, blank=True, help_text=gettext_lazy("Empty if the campaign runs on wall-clock time.")
    )
    processed_world_time = models.CharField(max_length=32, blank=True)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = gettext_lazy("campaigns")
        ordering: ClassVar = ["campaign_id"]
        verbose_name = gettext_lazy("campaign")

    def __str__(self) -> str:
        return f"{self.name or self.campaign_id}: {self.world_time or 'wall-clock'}"
