"""What the database holds: jobs, their audit trail, cron tasks, schedule rows, campaign clocks, pauses."""

from typing import Any, ClassVar
from uuid import UUID

import uuid_utils.compat
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from jobs.models.control import Pause, PauseKind
from jobs.models.cron import CronFiring, CronTask, FiringOutcome, Misfire
from jobs.models.indexes import OfOneState
from jobs.models.rollups import FailureGroup, FailureHour, OutcomeMinute
from jobs.states import WAITING, Priority, State
from jobs.text import LONGEST_ID, LONGEST_NAME, LONGEST_SUBJECT

__all__ = [
    "LONGEST_THING", "AuditEntry", "CampaignClock", "CronFiring", "CronTask", "FailureGroup", "FailureHour",
    "FiringOutcome", "Job", "Misfire", "OperatorAct", "OutcomeMinute", "Pause", "PauseKind", "ScheduleRow",
    "new_job_id",
]  # fmt: skip


LONGEST_THING = 400  #: characters: a kind, and an id or name of 255


def new_job_id() -> UUID:
    """A UUIDv7: in order of time, and never given twice, so that it serves as Idempotency-Key for ever."""
    return uuid_utils.compat.uuid7()


class JobQuerySet(models.QuerySet["Job"]):
    """Questions about one state, each answered by an index that holds no other state's rows."""

    def in_state(self, state: State) -> "models.QuerySet[Job]":
        """Jobs in one state, with its name written out.

        A database takes a partial index only where it can see that the query implies the index's own condition, which
        it cannot while the value is a parameter.
        """
        return self.extra(where=[f"jobs_job.state = '{State(state).value}'"])  # noqa: S610 - one of our constants


def _index_of(state: State, *fields: str, name: str = "") -> models.Index:
    """What is asked of a state's rows, mostly by when."""
    name = f"job_{state.value.lower()}{name and f'_{name}'}"
    return OfOneState(fields=["state", *fields], name=name, condition=Q(state=state.value))


class Job(models.Model):
    """One piece of work. Only jobs/ledger.py writes `state` and what goes with it."""

    id = models.UUIDField(primary_key=True, default=new_job_id, editable=False)
    type = models.CharField(max_length=64, db_index=False)
    campaign_id = models.CharField("campaign", max_length=LONGEST_ID, blank=True, help_text="empty: all campaigns")
    subject = models.CharField(
        max_length=LONGEST_SUBJECT, blank=True, help_text="what the job is about, within its campaign"
    )
    payload = models.JSONField(default=dict)
    unique_key = models.CharField(max_length=64, editable=False)
    priority = models.PositiveSmallIntegerField(choices=[(p.value, p.name) for p in Priority], default=Priority.NORMAL)

    state = models.CharField(max_length=9, choices=[(s.value, s.value) for s in State])
    attempt = models.PositiveIntegerField(default=0, help_text="claims so far; the fencing token")
    failures = models.PositiveIntegerField(default=0, help_text="failed attempts held against QUEUE_MAX_RETRIES")
    due_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)
    moved_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    sending_attempt = models.PositiveIntegerField(
        null=True, blank=True, help_text="the last attempt that began to send what must not be sent twice"
    )
    may_have_been_applied = models.BooleanField(
        default=False, db_default=False, help_text="an attempt ended without a clear answer whether its work was done"
    )
    failure_key = models.CharField(max_length=16, blank=True, default="", db_default="", editable=False)

    source = models.CharField(max_length=120, help_text="who or what submitted it")
    request_id = models.CharField(max_length=64, blank=True)
    copy_of = models.UUIDField(null=True, blank=True, help_text="the job that a person made this one from")
    clock_due = models.CharField(max_length=32, blank=True, help_text="last due time on the campaign's clock")
    clock = models.CharField(max_length=5, blank=True, choices=[("wall", "wall"), ("world", "world")])
    occurrences = models.PositiveIntegerField(default=1, help_text="intervals that this job applies at once")
    interval = models.DurationField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    task: str  #: what it does, in words; see ops/reads/job.py, name_all
    campaign_name: str

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["unique_key"], name="same_work_once"),
            models.CheckConstraint(condition=Q(state__in=[s.value for s in State]), name="known_state"),
            models.CheckConstraint(
                condition=~Q(state=State.RUNNING.value) | Q(lease_until__isnull=False), name="running_job_has_a_lease"
            ),
        ]
        indexes: ClassVar = [
            *(_index_of(state, "due_at") for state in WAITING),
            _index_of(State.QUEUED, "moved_at"),
            _index_of(State.RUNNING, "lease_until"),
            _index_of(State.DEAD, "failure_key", "id"),
            _index_of(State.DEAD, "campaign_id", "id", name="by_campaign"),
            _index_of(State.DEAD, "type", name="by_type"),
            models.Index(fields=["finished_at"], name="job_finished", condition=Q(finished_at__isnull=False)),
            models.Index(fields=["state", "-id"], name="job_by_state"),
            models.Index(fields=["campaign_id", "-id"], name="job_by_campaign"),
            models.Index(fields=["type", "-id"], name="job_by_type"),
            models.Index(fields=["copy_of"], name="job_copies", condition=Q(copy_of__isnull=False)),
        ]
        permissions: ClassVar = [  # add_job is the permission to submit
            ("retry_job", "Can retry jobs"),
            ("cancel_job", "Can cancel jobs"),
            ("discard_job", "Can discard dead letters"),
            ("reschedule_job", "Can reschedule jobs"),
            ("run_now_job", "Can run jobs now"),
            ("pause_jobs", "Can pause and resume queues, types and campaigns"),
            ("control_breaker", "Can open and close the circuit breaker"),
            ("manage_alerts", "Can manage alerts"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class AuditEntry(models.Model):
    """One move of one job. Never changed; deleted only with its job, by retention."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="audit_trail", db_constraint=False)
    at = models.DateTimeField(default=timezone.now)
    was = models.CharField(max_length=9, blank=True, help_text="empty: the job was submitted")
    now = models.CharField(max_length=9)
    attempt = models.PositiveIntegerField()
    actor = models.CharField(max_length=120, help_text="user:…, token:…, cron:…, listener, worker:…, scheduler")
    reason = models.TextField(blank=True)
    duration_ms = models.FloatField(null=True, blank=True, help_text="of the attempt that ended")
    error = models.TextField(blank=True)
    details = models.JSONField(
        null=True,
        blank=True,
        help_text="calls and traceback of the attempt that ended; where a person's move came from",
    )

    class Meta:
        ordering: ClassVar = ["id"]
        verbose_name_plural = "audit trail"
        indexes: ClassVar = [
            # Moves that people made, however many workers made between them.
            models.Index(fields=["id"], name="audit_by_people", condition=Q(actor__startswith="user:")),
            # Dead jobs, for whoever asks for them: it costs nothing while none dies.
            OfOneState(fields=["now", "at"], name="audit_of_dead", condition=Q(now=State.DEAD.value)),
        ]

    def __str__(self) -> str:
        return f"{self.was or 'new'} → {self.now} by {self.actor}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to change an entry that is written.

        Raises TypeError.
        """
        if self.pk is not None:
            raise TypeError("audit entries are never changed")
        super().save(*args, **kwargs)


class OperatorAct(models.Model):
    """What a person did to something that is no job: a cron task, a pause, the breaker, alerts, people.

    Written by jobs/acts.py in the transaction of the act itself; never changed and never deleted.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=120, help_text="user:…, token:…, command")
    verb = models.CharField(max_length=40, help_text="in the past tense: paused, changed, forced open")
    thing = models.CharField(max_length=LONGEST_THING, help_text="what it was done to, in words: cron task nightly")
    link = models.TextField(blank=True, help_text="the page of that thing")
    reason = models.TextField(blank=True)
    changes = models.JSONField(null=True, blank=True, help_text="{field: [before, after]}")
    ip = models.CharField("IP address", max_length=100, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.thing}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to change what is written.

        Raises TypeError.
        """
        if self.pk is not None:
            raise TypeError("acts are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse.

        Raises TypeError.
        """
        raise TypeError("acts are never deleted")


class CampaignClock(models.Model):
    """What the service last saw of a campaign's clock, and the last world time it acted on."""

    campaign_id = models.CharField("campaign", max_length=LONGEST_ID, primary_key=True)
    name = models.CharField(max_length=LONGEST_NAME, blank=True)
    is_active = models.BooleanField(default=True)
    world_time = models.CharField(max_length=32, blank=True, help_text="empty: the campaign runs on wall-clock time")
    processed_world_time = models.CharField(max_length=32, blank=True)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["campaign_id"]
        verbose_name = "campaign"

    def __str__(self) -> str:
        return f"{self.name or self.campaign_id}: {self.world_time or 'wall-clock'}"


class ScheduleRow(models.Model):
    """When one event type of one settlement or structure is next due on its campaign's clock.

    Times of day are ISO 8601 text, for a world time may lie in any year; text of one shape sorts as time does.
    """

    campaign_id = models.CharField("campaign", max_length=LONGEST_ID)
    entity_type = models.CharField(max_length=10, choices=[("Settlement", "Settlement"), ("Structure", "Structure")])
    entity_id = models.CharField(max_length=LONGEST_ID)
    entity_name = models.CharField(max_length=LONGEST_NAME, blank=True)
    event_type = models.CharField(max_length=32)
    clock = models.CharField(max_length=5, choices=[("wall", "wall"), ("world", "world")])
    anchor = models.CharField(max_length=32, help_text="first seen, or the last due time applied")
    interval = models.DurationField()
    next_due = models.CharField(max_length=32, blank=True, help_text="empty: past the year 9999, never")
    fire_at = models.CharField(max_length=32, blank=True, help_text="when a job for it is submitted next")
    job_type = models.CharField(max_length=64)
    payload = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = [F("next_due").asc()]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["entity_id", "event_type"], name="one_row_per_entity_and_event")
        ]
        indexes: ClassVar = [
            models.Index(fields=["clock", "fire_at"], name="schedule_due"),
            models.Index(fields=["campaign_id", "entity_type"], name="schedule_by_campaign"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} of {self.entity_name or self.entity_id}"
