"""Alerts, their handlers and their deliveries, in the database so that they survive a crash."""

from typing import ClassVar, Final

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from jobs.models.indexes import Inlined


class Severity(models.IntegerChoices):
    INFO = 10, gettext_lazy("info")
    WARNING = 20, gettext_lazy("warning")
    CRITICAL = 30, gettext_lazy("critical")

    @property
    def word(self) -> str:
        """Its name for programs, in one language."""
        return self.name.lower()


class Kind(models.TextChoices):
    JOB_DEAD = "job_dead", gettext_lazy("Dead letter")
    DEAD_LETTERS_GROW = "dead_letters_grow", gettext_lazy("Dead letters increasing")
    EFFECT_UNKNOWN = "effect_unknown", gettext_lazy("Unknown effect outcome")
    BREAKER_OPEN = "breaker_open", gettext_lazy("Circuit breaker open")
    CREDENTIAL_REFUSED = "credential_refused", gettext_lazy("Service token rejected")
    QUEUE_LAG = "queue_lag", gettext_lazy("Queue delay")
    NO_WORKER = "no_worker", gettext_lazy("No worker")
    NO_SCHEDULER = "no_scheduler", gettext_lazy("No scheduler")
    NO_SUBSCRIBER = "no_subscriber", gettext_lazy("Listener down")
    CRON_FAILED = "cron_failed", gettext_lazy("Cron task failed")
    CRON_MISSED = "cron_missed", gettext_lazy("Cron run missed")
    REDIS_GONE = "redis_gone", gettext_lazy("Redis unreachable")
    DATABASE_GONE = "database_gone", gettext_lazy("Database unreachable")
    MAIN_API = "main_api", gettext_lazy("Main API")
    EVENT_QUESTION = "event_question", gettext_lazy("Question about an event")
    CODE = "code", gettext_lazy("Custom")


class Alert(models.Model):
    """A problem that somebody should know about, from its first occurrence until it is resolved.

    At most one row per key is open; repeats are counted on it. `fresh` holds the occurrences, by campaign, that are not
    routed to the handlers yet.
    """

    kind = models.CharField(gettext_lazy("kind"), max_length=32, choices=Kind.choices)
    key = models.CharField(max_length=200, help_text=gettext_lazy("Repeats have the same key."))
    severity = models.PositiveSmallIntegerField(gettext_lazy("severity"), choices=Severity.choices)
    title = models.CharField(gettext_lazy("title"), max_length=200)
    message = models.TextField(blank=True)
    details = models.JSONField(default=dict)
    job_type = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField(gettext_lazy("count"), default=0, help_text=gettext_lazy("Occurrences so far."))
    opened_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=120, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=120, blank=True)
    fresh = models.JSONField(default=dict, editable=False)
    is_fresh = models.BooleanField(default=False, editable=False)

    class Meta:
        verbose_name = gettext_lazy("alert")
        verbose_name_plural = gettext_lazy("alerts")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key"], condition=Q(resolved_at=None), name="one_open_alert_per_key")
        ]
        indexes: ClassVar = [
            models.Index(fields=["is_fresh", "id"], name="alert_fresh", condition=Q(is_fresh=True)),
            models.Index(fields=["key", "-id"], name="alert_by_key"),
            models.Index(fields=["resolved_at"], name="alert_resolved"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def status(self) -> str:
        """Return open, acknowledged or resolved."""
        if self.resolved_at:
            return "resolved"
        return "acknowledged" if self.acknowledged_at else "open"

    @property
    def status_text(self) -> str:
        """Return the status, as pages write it."""
        return {
            "open": gettext("open"),
            "acknowledged": gettext("acknowledged"),
            "resolved": gettext("resolved"),
        }[self.status]


class AlertHandler(models.Model):
    """Who is notified of which alerts, over which channel."""

    name = models.CharField(gettext_lazy("name"), max_length=80, unique=True)
    kind = models.CharField(
        max_length=16, editable=False, help_text=gettext_lazy("A channel of monitoring/alerting/channels.")
    )
    config = models.JSONField(default=dict, editable=False)
    secrets = models.JSONField(default=dict, editable=False, help_text=gettext_lazy("Never shown, never logged."))
    enabled = models.BooleanField(gettext_lazy("enabled"), default=True)
    minimum_severity = models.PositiveSmallIntegerField(
        gettext_lazy("minimum severity"), choices=Severity.choices, default=Severity.WARNING
    )
    alert_kinds = models.JSONField(
        gettext_lazy("kinds of alerts"), default=list, blank=True, help_text=gettext_lazy("Leave empty for all kinds.")
    )
    job_types = models.JSONField(
        gettext_lazy("job types"), default=list, blank=True, help_text=gettext_lazy("Leave empty for all types.")
    )
    campaigns = models.JSONField(
        gettext_lazy("campaigns"),
        default=list,
        blank=True,
        help_text=gettext_lazy("IDs. Leave empty for all campaigns."),
    )
    quiet_from = models.TimeField(
        gettext_lazy("quiet hours start"), null=True, blank=True, help_text=gettext_lazy("Messages wait from then on.")
    )
    quiet_until = models.TimeField(
        gettext_lazy("quiet hours end"),
        null=True,
        blank=True,
        help_text=gettext_lazy("Alerts resolved meanwhile are dropped."),
    )
    time_zone = models.CharField(gettext_lazy("time zone"), max_length=64, default="UTC")
    wake_for_critical = models.BooleanField(
        gettext_lazy("send critical alerts anyway"), default=True, help_text=gettext_lazy("Also in quiet hours.")
    )

    class Meta:
        verbose_name = gettext_lazy("alert handler")
        verbose_name_plural = gettext_lazy("alert handlers")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


UNSENT: Final = Q(unsent__gt=0)
PENDING: Final = Q(status="pending")


class NoticeQuerySet(models.QuerySet["Notice"]):
    """Questions that a partial index answers."""

    def unsent(self) -> "models.QuerySet[Notice]":
        """Those with occurrences that were not sent to their target."""
        return self.filter(Inlined(UNSENT))


class Notice(models.Model):
    """What one target has been sent about one alert; each target has its own throttle."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notices")
    target = models.CharField(max_length=120, help_text=gettext_lazy("handler:<id> or code:<name>."))
    notified_at = models.DateTimeField(null=True, db_column="told_at")
    unsent = models.PositiveIntegerField(default=0, help_text=gettext_lazy("Occurrences not sent yet."))
    thinks_open = models.BooleanField(
        default=False, help_text=gettext_lazy("The alert was sent, its resolution was not.")
    )

    objects = NoticeQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["alert", "target"], name="one_notice_per_target")]
        indexes: ClassVar = [
            models.Index(fields=["unsent"], name="notice_unsent", condition=UNSENT),
            models.Index(fields=["thinks_open", "id"], name="notice_thinks_open", condition=Q(thinks_open=True)),
        ]

    def __str__(self) -> str:
        return f"{self.target} of alert {self.alert_id}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Questions that a partial index answers."""

    def pending(self) -> "models.QuerySet[Delivery]":
        """Those that are to be sent."""
        return self.filter(Inlined(PENDING))


class Delivery(models.Model):
    """One message to one target, retried until it arrives or its attempts are used up."""

    class Status(models.TextChoices):
        PENDING = "pending", gettext_lazy("pending")
        SENT = "sent", gettext_lazy("sent")
        FAILED = "failed", gettext_lazy("failed")

    alert = models.ForeignKey(
        Alert, on_delete=models.CASCADE, null=True, related_name="deliveries", verbose_name=gettext_lazy("alert")
    )
    target = models.CharField(max_length=120)
    handler = models.ForeignKey(
        AlertHandler,
        on_delete=models.SET_NULL,
        null=True,
        related_name="deliveries",
        verbose_name=gettext_lazy("handler"),
    )
    handler_name = models.CharField(gettext_lazy("handler"), max_length=120)
    handler_kind = models.CharField(gettext_lazy("kind"), max_length=16)
    action = models.CharField(max_length=8, help_text=gettext_lazy("trigger, resolve or test."))
    message = models.JSONField(gettext_lazy("message"), default=dict)
    status = models.CharField(gettext_lazy("status"), max_length=7, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(gettext_lazy("attempts"), default=0)
    created_at = models.DateTimeField(gettext_lazy("when"), default=timezone.now)
    next_at = models.DateTimeField(
        gettext_lazy("next attempt"), default=timezone.now, help_text=gettext_lazy("Time of the next attempt.")
    )
    sent_at = models.DateTimeField(gettext_lazy("sent at"), null=True, blank=True)
    http_status = models.PositiveSmallIntegerField(gettext_lazy("HTTP answer"), null=True, blank=True)
    answer = models.TextField(gettext_lazy("answer"), blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("delivery")
        ordering: ClassVar = ["-id"]
        verbose_name_plural = gettext_lazy("deliveries")
        indexes: ClassVar = [
            models.Index(fields=["target", "id"], name="delivery_pending", condition=PENDING),
            models.Index(fields=["created_at"], name="delivery_by_time"),
        ]

    def __str__(self) -> str:
        texts = {
            "trigger": gettext("Alert to %(handler)s"),
            "resolve": gettext("Resolution to %(handler)s"),
            "test": gettext("Test to %(handler)s"),
        }
        return texts.get(self.action, self.action) % {"handler": self.handler_name}


class SeenDeadLetter(models.Model):
    """An audit entry of a dead letter that was counted, kept for minutes so that a crash counts none twice."""

    entry_id = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "monitoring_seendeath"
        indexes: ClassVar = [models.Index(fields=["at"], name="seen_death_at")]

    def __str__(self) -> str:
        return str(self.entry_id)


class MonitorState(models.Model):
    """The active monitor's lease and its progress: one row, in the database because Redis may be down."""

    name = models.CharField(max_length=16, primary_key=True, default="monitor")
    owner = models.CharField(max_length=64, blank=True)
    until = models.DateTimeField(default=timezone.now, help_text=gettext_lazy("End of the owner's lease."))
    dead_letters_until = models.DateTimeField(
        default=timezone.now, db_column="deaths_until", help_text=gettext_lazy("Dead letters up to then are counted.")
    )
    cron = models.JSONField(default=dict, help_text=gettext_lazy("By cron task: the run that is expected next."))
    verdicts = models.JSONField(null=True, help_text=gettext_lazy("By point of the main API: the last verdict."))

    def __str__(self) -> str:
        return f"{self.name}: {self.owner} until {self.until}"
