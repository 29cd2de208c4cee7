"""The last check of the main API."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy


class MainApiCheck(models.Model):
    """One row: the last check that got through, and when and why one after it did not.

    Only jobs/main_api_check.py writes it.
    """

    name = models.CharField(max_length=16, primary_key=True, default="last")
    report = models.JSONField(default=dict, help_text=gettext_lazy("As `manage.py check_main_api --json` prints it."))
    failed_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("Empty if the last check got through.")
    )
    failure = models.TextField(blank=True)

    class Meta:
        default_permissions: ClassVar = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.report.get('outcome', 'none yet')}"
