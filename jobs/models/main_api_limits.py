"""The limits of requests to the main API."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy


class MainApiLimits(models.Model):
    """One row: the limits for all processes together, and who set them last.

    Only jobs/main_api_limits.py writes it.
    """

    name = models.CharField(max_length=16, primary_key=True, default="all")
    in_flight = models.PositiveIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Requests at a time. Empty for no limit.")
    )
    per_second = models.PositiveIntegerField(
        null=True, blank=True, help_text=gettext_lazy("New requests. Empty for no limit.")
    )
    actor = models.CharField(max_length=120)
    reason = models.CharField(max_length=500, blank=True)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions: ClassVar = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.in_flight} in flight, {self.per_second} per second"
