"""Alerts about what happened, rather than about what is: when their cause is gone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import actor as actors
from jobs.models import CronTask, Job, OutcomeMinute
from jobs.states import State
from monitoring import health
from monitoring.alerting.auto_resolve import QUIET, should_resolve
from monitoring.health import Component
from monitoring.models import Alert, Kind, Severity
from tests.support.dead_letters import make_dead_letters

pytestmark = pytest.mark.django_db(transaction=True)

UP = {"api": Component(health.UP, "", timezone.now(), critical=True)}
DOWN = {"api": Component(health.DOWN, "no answer", timezone.now(), critical=True)}


def alert(kind: Kind, **fields: object) -> Alert:
    """An open alert of the kind, about the type that make_dead_letters submits."""
    return Alert.objects.create(
        **{
            "kind": kind,
            "key": kind.value,
            "severity": Severity.CRITICAL,
            "title": kind.value,
            "job_type": "EVENT_EXPIRATION",
            **fields,
        }
    )


def test_an_alert_about_dead_letters_lasts_as_long_as_they() -> None:
    dead = alert(Kind.JOB_DEAD)
    assert should_resolve(dead, UP)
    make_dead_letters()
    assert not should_resolve(dead, UP)


def test_an_alert_about_unknown_outcomes_lasts_as_long_as_such_dead_letters() -> None:
    unknown = alert(Kind.EFFECT_UNKNOWN)
    make_dead_letters()
    assert should_resolve(unknown, UP)
    make_dead_letters(unknown=True)
    assert not should_resolve(unknown, UP)


def test_a_refused_credential_is_over_when_the_main_api_accepts_it_and_a_job_has_succeeded() -> None:
    refused = alert(Kind.CREDENTIAL_REFUSED)
    outcome = OutcomeMinute(type="t", outcome=State.SUCCEEDED, shard=0, jobs=1)
    outcome.run_ms = outcome.run_ms_max = outcome.wait_ms = outcome.wait_ms_max = 1.0
    outcome.minute = refused.last_at.replace(second=0, microsecond=0)
    outcome.save()
    assert not should_resolve(refused, UP)  # that job may have ended before the refusal

    outcome.pk, outcome.minute = None, outcome.minute + timedelta(minutes=1)
    outcome.save()
    assert should_resolve(refused, UP)
    assert not should_resolve(refused, DOWN)


@pytest.mark.parametrize(
    ("source", "state", "ended_after", "over"),
    [
        (actors.cron("nightly"), State.SUCCEEDED, 1, True),
        (actors.cron("nightly"), State.SKIPPED, 1, True),
        (actors.cron("nightly"), State.DEAD, 1, False),
        (actors.cron("nightly"), State.SUCCEEDED, -1, False),
        (actors.cron("hourly"), State.SUCCEEDED, 1, False),
        (actors.LISTENER, State.SUCCEEDED, 1, False),
    ],
)
def test_a_failed_cron_task_is_over_when_a_later_job_of_it_has_worked(
    source: str, state: State, ended_after: int, over: bool
) -> None:
    CronTask.objects.create(name="nightly", type="EVENT_EXPIRATION", expression="0 3 * * *")
    failed = alert(Kind.CRON_FAILED, key="cron_failed:nightly")
    ended = failed.last_at + timedelta(seconds=ended_after)
    [job_id] = make_dead_letters()
    Job.objects.filter(pk=job_id).update(source=source, state=state, finished_at=ended)

    assert should_resolve(failed, UP) is over


def test_a_failed_cron_task_that_was_deleted_is_over() -> None:
    assert should_resolve(alert(Kind.CRON_FAILED, key="cron_failed:nightly"), UP)


@pytest.mark.parametrize("kind", [Kind.CODE, Kind.MAIN_API])
def test_an_alert_without_a_lasting_cause_is_over_after_a_quiet_day(kind: Kind) -> None:
    assert not should_resolve(alert(kind), UP)
    assert should_resolve(alert(kind, key="other", last_at=timezone.now() - QUIET - timedelta(minutes=1)), UP)


def test_other_alerts_are_judged_by_what_is_found() -> None:
    assert not should_resolve(alert(Kind.DATABASE_GONE, last_at=timezone.now() - 2 * QUIET), UP)
