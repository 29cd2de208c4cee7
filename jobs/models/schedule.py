"""The next due times of settlements and structures."""

from collections.abc import Collection
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F
from django.utils.translation import gettext, gettext_lazy

from jobs.models.making import make_from
from scheduler_project.text import LONGEST_ID, LONGEST_NAME


class ScheduleRow(models.Model):
    """When one event type of one settlement or structure is next due on its campaign's clock.

    Times are ISO 8601 text, because a world time may be in any year; text of one format sorts by time.
    """

    campaign_id = models.CharField(gettext_lazy("campaign"), max_length=LONGEST_ID)
    entity_type = models.CharField(
        gettext_lazy("entity type"),
        max_length=10,
        choices=[("Settlement", gettext_lazy("Settlement")), ("Structure", gettext_lazy("Structure"))],
    )
    entity_id = models.CharField(gettext_lazy("entity ID"), max_length=LONGEST_ID)
    household = models.CharField(
        gettext_lazy("settlement"),
        max_length=LONGEST_ID,
        blank=True,
        default="",
        db_default="",
        help_text=gettext_lazy("its own, if it is one"),
    )
    entity_name = models.CharField(gettext_lazy("settlement or structure"), max_length=LONGEST_NAME, blank=True)
    event_type = models.CharField(gettext_lazy("event type"), max_length=32)
    clock = models.CharField(
        gettext_lazy("clock"), max_length=5, choices=[("wall", gettext_lazy("wall")), ("world", gettext_lazy("world"))]
    )
    anchor = models.CharField(
        gettext_lazy("last applied"), max_length=32, help_text=gettext_lazy("First seen, or the last due time applied.")
    )
    interval = models.DurationField(
        gettext_lazy("interval"),
    )
    next_due = models.CharField(
        gettext_lazy("next due"),
        max_length=32,
        blank=True,
        help_text=gettext_lazy("Empty: never (past the year 9999)."),
    )
    fire_at = models.CharField(
        gettext_lazy("fires at"), max_length=32, blank=True, help_text=gettext_lazy("When the next job is submitted.")
    )
    world_anchor = models.CharField(
        gettext_lazy("began at world time"),
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text=gettext_lazy("Of a construction whose campaign shows world time no longer."),
    )
    job_type = models.CharField(gettext_lazy("job type"), max_length=64)
    payload = models.JSONField(gettext_lazy("payload"), default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = gettext_lazy("schedule")
        verbose_name_plural = gettext_lazy("schedules")
        ordering: ClassVar = [F("next_due").asc()]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["entity_id", "event_type"], name="one_row_per_entity_and_event")
        ]
        indexes: ClassVar = [
            models.Index(fields=["clock", "fire_at"], name="schedule_due"),
            models.Index(fields=["campaign_id", "entity_type"], name="schedule_by_campaign"),
            # With the clock: SQLite, which keeps no statistics, would read all rows of the clock instead.
            models.Index(fields=["household", "clock"], name="schedule_household_clock"),
        ]

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **later: Any) -> Self:
        """See Model: a world-time advance reads all rows of a campaign three times. A newer Django may pass more."""
        if later:
            return super().from_db(db, field_names, values, **later)
        return make_from(cls, db, field_names, values)

    def __str__(self) -> str:
        said = {"event": self.event_type, "entity": self.entity_name or self.entity_id}
        return gettext("%(event)s of %(entity)s") % said
