"""Decides when an alert about dead letters resolves by itself: when none of its dead letters is left."""

from datetime import timedelta

from django.utils import timezone

from jobs import actor as actors
from jobs.models import CronTask, Job, OutcomeMinute
from jobs.states import FINAL, State
from monitoring import health
from monitoring.alerting import main_api
from monitoring.alerting.store import key_of
from monitoring.health import Found
from monitoring.models import Alert, Kind

QUIET = timedelta(days=1)  #: an alert about something that happened resolves when it has not recurred for this long
SCANNED = 200  #: newest jobs of a cron task's type that are searched for the task's own


def should_resolve(alert: Alert, found: Found) -> bool:
    """Return whether the cause of an alert about jobs is gone."""
    match alert.kind:
        case Kind.JOB_DEAD:
            return not Job.objects.in_state(State.DEAD).filter(type=alert.job_type).exists()
        case Kind.EFFECT_UNKNOWN:
            dead = Job.objects.in_state(State.DEAD).filter(type=alert.job_type)
            return not dead.filter(may_have_been_applied=True).exists()
        case Kind.CREDENTIAL_REFUSED:
            return found["api"].status == health.UP and _has_worked_since(alert)
        case Kind.CRON_FAILED:
            return _cron_works(alert)
        case Kind.MAIN_API if alert.key == key_of(main_api.CANNOT_WORK):
            return main_api.works_again()
        case Kind.CODE | Kind.MAIN_API:
            return timezone.now() - alert.last_at > QUIET
        case _:
            return False


def _has_worked_since(alert: Alert) -> bool:
    """Return whether any job has succeeded since, in a later minute."""
    later = alert.last_at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return OutcomeMinute.objects.filter(minute__gte=later, outcome=State.SUCCEEDED).exists()


def _cron_works(alert: Alert) -> bool:
    """Return whether a job of the task has finished after the failure, or the task was deleted."""
    # By the key: a secret in the task's name is masked in the details.
    task = next((t for t in CronTask.objects.all() if key_of(f"{alert.kind}:{t.name}") == alert.key), None)
    if task is None:
        return True
    newest = Job.objects.filter(type=task.type).order_by("-pk").values_list("source", "state", "finished_at")
    return any(
        source == actors.cron(task.name) and state in FINAL and finished_at is not None and finished_at > alert.last_at
        for source, state, finished_at in newest[:SCANNED]
    )
