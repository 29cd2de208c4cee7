"""What operators have set for job types."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy


class TypeSettings(models.Model):
    """The values that replace a job type's own, and who set them last. Only jobs/type_settings.py writes it."""

    type = models.CharField(max_length=64, primary_key=True)
    max_attempts = models.PositiveIntegerField(null=True, blank=True, help_text=gettext_lazy("Empty: the type's own."))
    backoff_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Milliseconds. Empty: the environment's.")
    )
    timeout_s = models.PositiveIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Seconds. Empty: the type's own.")
    )
    concurrency = models.PositiveIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Running jobs. Empty: no limit.")
    )
    actor = models.CharField(max_length=120)
    reason = models.CharField(max_length=500, blank=True)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions: ClassVar = ("change",)

    def __str__(self) -> str:
        return f"settings of {self.type}"
