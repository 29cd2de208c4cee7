"""Totals that the ledger keeps for pages and metrics: outcomes by minute, dead letters by failure and hour."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy

from jobs.histogram import COLUMNS


class OutcomeMinute(models.Model):
    """Attempts of one type and outcome within one minute: how many, how long they ran and waited.

    Written by the ledger in the transaction of the ends themselves, so that its sums are true totals; kept for ever
    (retention folds older ones into quarters, hours and one row, see fold_outcomes), while jobs go with retention.
    `shard` keeps workers from waiting for each other.
    """

    minute = models.DateTimeField()
    type = models.CharField(max_length=64)
    outcome = models.CharField(max_length=9)
    shard = models.PositiveSmallIntegerField()
    jobs = models.PositiveIntegerField()
    run_ms = models.FloatField(help_text=gettext_lazy("Sum of the run times, in milliseconds."))
    run_ms_max = models.FloatField()
    wait_ms = models.FloatField(help_text=gettext_lazy("Sum of the start delays (due to started), in milliseconds."))
    wait_ms_max = models.FloatField()
    # and one column for each bucket of jobs.histogram, below

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["minute", "type", "outcome", "shard"], name="one_row_per_minute_and_shard")
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.type} {self.outcome}: {self.jobs}"


for _column in COLUMNS:
    OutcomeMinute.add_to_class(_column, models.PositiveIntegerField(default=0, db_default=0))


class FailureGroup(models.Model):
    """One kind of failure, as jobs/fingerprint.py distinguishes them; the ledger creates it with its first dead letter.

    Its dead letters are the DEAD jobs with its key; notes and acknowledgements outlive the dead letters.
    """

    key = models.CharField(max_length=16, primary_key=True)
    error = models.CharField(max_length=120)
    message = models.CharField(max_length=300, blank=True)
    culprit = models.CharField(db_column="place", max_length=200, blank=True)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    note = models.TextField(blank=True, db_default="")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=120, blank=True, db_default="")

    class Meta:
        verbose_name_plural = gettext_lazy("failures")
        ordering: ClassVar = ["-last_seen"]
        verbose_name = gettext_lazy("failure")
        indexes: ClassVar = [models.Index(fields=["-last_seen"], name="failure_last_seen")]

    def __str__(self) -> str:
        return f"{self.error}: {self.message}"


class FailureHour(models.Model):
    """How many jobs died of one kind of failure within one hour; kept RETENTION_DAYS."""

    group = models.ForeignKey(FailureGroup, on_delete=models.CASCADE, related_name="hours", db_constraint=False)
    hour = models.DateTimeField()
    jobs = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["group", "hour"], name="one_row_per_failure_and_hour")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.group_id}: {self.jobs}"
