import hashlib
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import uuid_utils.compat
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from jobs.models.choices import PRIORITIES
from jobs.models.indexes import Inlined, NewestLast, OfOneState
from jobs.states import CANCELLABLE, WAITING, Priority, State
from scheduler_project.text import LONGEST_ID, LONGEST_SUBJECT


def new_job_id() -> UUID:
    """A UUIDv7: ordered by time and unique, so it can serve as Idempotency-Key."""
    return uuid_utils.compat.uuid7()


def first_id(at: datetime) -> UUID:
    """The smallest ID of a job that was made at that time or later: IDs begin with the time in milliseconds."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def unique_key_of(job_type: str, campaign_id: str, subject: str, due: str) -> str:
    """The key by which the same work is found; `due` is ISO 8601. No part contains NUL, so keys are unambiguous."""
    return hashlib.sha256(f"{job_type}\0{campaign_id}\0{subject}\0{due}".encode()).hexdigest()


def numbered_key(unique_key: str, again: int) -> str:
    """The key of the job that does the work of this key again; 0: the key itself."""
    return hashlib.sha256(f"{unique_key}\0{again}".encode()).hexdigest() if again else unique_key


class JobQuerySet(models.QuerySet["Job"]):
    """Queries that a partial index answers."""

    def in_state(self, state: State) -> "models.QuerySet[Job]":
        """Jobs in one state."""
        return self.filter(Inlined(Q(state=State(state).value)))


def _index_of(state: State, *fields: str, name: str = "") -> models.Index:
    """A partial index of one state's rows."""
    name = f"job_{state.value.lower()}{name and f'_{name}'}"
    return OfOneState(fields=["state", *fields], name=name, condition=Q(state=state.value))


class Job(models.Model):
    """One piece of work. Only jobs/ledger/moves.py writes `state` and what goes with it."""

    id = models.UUIDField(primary_key=True, default=new_job_id, editable=False)
    type = models.CharField(max_length=64, db_index=False)
    campaign_id = models.CharField(
        "campaign", max_length=LONGEST_ID, blank=True, help_text=gettext_lazy("Empty for all campaigns.")
    )
    subject = models.CharField(
        max_length=LONGEST_SUBJECT, blank=True, help_text=gettext_lazy("What the job is about, within its campaign.")
    )
    payload = models.JSONField(default=dict)
    payload_version = models.SmallIntegerField(
        default=1,
        db_default=1,
        editable=False,
        help_text=gettext_lazy("Version of the type's payload when the job was submitted."),
    )
    unique_key = models.CharField(max_length=64, editable=False)
    priority = models.PositiveSmallIntegerField(gettext_lazy("priority"), choices=PRIORITIES, default=Priority.NORMAL)

    state = models.CharField(max_length=9, choices=[(s.value, s.value) for s in State])
    attempt = models.PositiveIntegerField(default=0, help_text=gettext_lazy("Claims so far; the fencing token."))
    failures = models.PositiveIntegerField(
        default=0, help_text=gettext_lazy("Failed attempts that count against the type's limit.")
    )
    waits = models.IntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text=gettext_lazy("Claims that sent nothing, because the job had to wait."),
    )
    waits_since = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=gettext_lazy("When it was first found to have to wait; empty if it need not."),
    )
    due_at = models.DateTimeField()
    first_due_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("Due time with which it was submitted; empty: by a release that kept none."),
    )
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
        null=True,
        blank=True,
        help_text=gettext_lazy("0 until the running attempt sends, then its number; empty if unknown."),
    )
    may_have_been_applied = models.BooleanField(
        default=False,
        db_default=False,
        help_text=gettext_lazy("An attempt ended without a clear answer whether its work was done."),
    )
    failure_key = models.CharField(max_length=16, blank=True, default="", db_default="", editable=False)

    source = models.CharField(max_length=120, help_text=gettext_lazy("Who or what submitted it."))
    request_id = models.CharField(max_length=64, blank=True)
    copy_of = models.UUIDField(null=True, blank=True, help_text=gettext_lazy("The job that an operator copied."))
    clock_due = models.CharField(
        max_length=32, blank=True, help_text=gettext_lazy("Last due time on the campaign's clock.")
    )
    clock = models.CharField(max_length=5, blank=True, choices=[("wall", "wall"), ("world", "world")])
    occurrences = models.PositiveIntegerField(
        default=1, help_text=gettext_lazy("Due times that this job applies at once.")
    )
    interval = models.DurationField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    task: str  #: what it does, in words; see ops/reads/job.py, name_all
    campaign_name: str
    world_due: str

    class Meta:
        verbose_name = gettext_lazy("job")
        verbose_name_plural = gettext_lazy("jobs")
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
            NewestLast(fields=["campaign_id", "-id"], name="job_by_campaign"),
            NewestLast(fields=["type", "-id"], name="job_by_type"),
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
            ("acknowledge_alerts", "Can acknowledge and resolve alerts"),
            ("manage_alerts", "Can manage alert handlers"),
            ("export_jobs", "Can export jobs"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"

    @property
    def attempts(self) -> int:
        """Claims that were attempts: the others only found that the job must wait, or were handed back."""
        return self.attempt - self.waits

    @property
    def is_waiting(self) -> bool:
        """Whether its next attempt is still to come."""
        return self.state in CANCELLABLE
