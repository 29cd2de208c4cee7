"""Events of the main API: the policies for them, what was sent to trigger one, and questions to operators."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from jobs.models.indexes import Inlined
from jobs.states import StepState
from jobs.world.event_policies import EventAction
from scheduler_project.text import LONGEST_ID, LONGEST_NAME

LONGEST_TYPE = 64


class EventPolicy(models.Model):
    """What becomes of events when world time passes their time. Only jobs/triggers/policies.py writes it."""

    campaign_id = models.CharField(
        "campaign", max_length=LONGEST_ID, blank=True, help_text=gettext_lazy("Empty for all campaigns.")
    )
    event_type = models.CharField(max_length=LONGEST_TYPE, blank=True, help_text=gettext_lazy("Empty for all types."))
    action = models.CharField(max_length=7, choices=[(one.value, one.value) for one in EventAction])
    answer_minutes = models.PositiveIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Minutes of real time for an answer; only with ask.")
    )
    default_answer = models.BooleanField(
        default=False, help_text=gettext_lazy("What counts when nobody answers in time; only with ask.")
    )
    actor = models.CharField(max_length=120)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["campaign_id", "event_type"]
        verbose_name = gettext_lazy("event policy")
        verbose_name_plural = gettext_lazy("event policies")
        default_permissions: ClassVar = ("change",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign_id", "event_type"], name="one_policy_per_campaign_and_type")
        ]

    def __str__(self) -> str:
        campaign = f"campaign {self.campaign_id}" if self.campaign_id else gettext("all campaigns")
        return f"{self.event_type or 'all'} events of {campaign}"


class TriggerStep(models.Model):
    """One request of a job that triggers an event: an effect of it, or, as the last one, its completion.

    Only jobs/triggers/steps.py writes it: before the request is sent, and when its outcome is known.
    """

    job_id = models.UUIDField()
    event_id = models.CharField(max_length=LONGEST_ID, blank=True, default="", db_default="")
    position = models.PositiveIntegerField()
    operation = models.CharField(max_length=32, help_text=gettext_lazy("The mutation."))
    effect_id = models.CharField(max_length=LONGEST_ID, blank=True)
    name = models.CharField(max_length=LONGEST_NAME, blank=True)
    timing = models.CharField(max_length=10, blank=True)
    state = models.CharField(
        max_length=8, choices=[(one.value, one.value) for one in StepState], default=StepState.PLANNED.value
    )
    attempt = models.PositiveIntegerField(default=0, help_text=gettext_lazy("The attempt that sent it last."))
    note = models.TextField(blank=True, help_text=gettext_lazy("Its error, or what the main API said."))
    moved_at = models.DateTimeField(default=timezone.now)
    was_unknown = models.BooleanField(
        null=True, help_text=gettext_lazy("Whether an earlier request of it had no clear outcome.")
    )

    class Meta:
        ordering: ClassVar = ["job_id", "position"]
        default_permissions: ClassVar = ()
        constraints: ClassVar = [models.UniqueConstraint(fields=["job_id", "position"], name="one_step_per_position")]
        indexes: ClassVar = [
            models.Index(fields=["moved_at"], name="step_by_age"),
            models.Index(fields=["event_id"], name="step_by_event"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.effect_id}".strip()


OPEN = Q(answered_at=None)


class EventQuestionQuerySet(models.QuerySet["EventQuestion"]):
    """Queries that a partial index answers."""

    def open(self) -> "models.QuerySet[EventQuestion]":
        """Those without an answer, the first deadline first."""
        return self.filter(Inlined(OPEN)).order_by("deadline", "pk")


class EventQuestion(models.Model):
    """Whether an event is triggered; its job waits for the answer. Only jobs/triggers/questions.py writes it."""

    job_id = models.UUIDField(primary_key=True)
    campaign_id = models.CharField(gettext_lazy("campaign"), max_length=LONGEST_ID)
    event_id = models.CharField(max_length=LONGEST_ID)
    event_name = models.CharField(max_length=LONGEST_NAME)
    event_type = models.CharField(max_length=LONGEST_TYPE, blank=True)
    scheduled_at = models.CharField(max_length=32, help_text=gettext_lazy("World time."))
    asked_at = models.DateTimeField(default=timezone.now)
    deadline = models.DateTimeField()
    default_answer = models.BooleanField(help_text=gettext_lazy("What counts from the deadline on."))
    answer = models.BooleanField(null=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    answered_by = models.CharField(max_length=120, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    objects = EventQuestionQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-asked_at"]
        verbose_name = gettext_lazy("question about an event")
        verbose_name_plural = gettext_lazy("questions about events")
        default_permissions: ClassVar = ("change",)
        indexes: ClassVar = [
            models.Index(fields=["deadline"], name="question_open", condition=OPEN),
            models.Index(fields=["answered_at"], name="question_answered"),
            models.Index(fields=["asked_at"], name="question_by_age"),
        ]

    def __str__(self) -> str:
        return f"trigger {self.event_name}?"
