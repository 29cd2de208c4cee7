"""Where an alert's receiver goes on: pages of the admin, and what to do first.

Addresses begin with PUBLIC_URL. Without it they are paths, for only a request tells which host people use.
"""

from collections.abc import Mapping
from typing import Final

from django.conf import settings
from django.utils.translation import gettext, gettext_noop

from monitoring.models import Alert, Kind
from scheduler_project import links

PAGES: Final[Mapping[str, str]] = {
    Kind.DEAD_LETTERS_GROW: "jobs_failuregroup_changelist",
    Kind.EFFECT_UNKNOWN: "jobs_failuregroup_changelist",
    Kind.BREAKER_OPEN: "jobs_breaker",
    Kind.CREDENTIAL_REFUSED: "jobs_breaker",
    Kind.EVENT_QUESTION: "jobs_eventquestion_changelist",
    Kind.MAIN_API: "jobs_main_api",
    Kind.QUEUE_LAG: "jobs_processes",
    Kind.NO_WORKER: "jobs_processes",
    Kind.NO_SCHEDULER: "jobs_processes",
    Kind.NO_SUBSCRIBER: "jobs_processes",
    Kind.CRON_FAILED: "jobs_crontask_changelist",
    Kind.CRON_MISSED: "jobs_crontask_changelist",
}
TITLES: Final[Mapping[str, str]] = {
    "jobs_failuregroup_changelist": gettext_noop("Failures"),
    "jobs_breaker": gettext_noop("Circuit breaker"),
    "jobs_eventquestion_changelist": gettext_noop("Questions"),
    "jobs_main_api": gettext_noop("Main API"),
    "jobs_processes": gettext_noop("Processes"),
    "jobs_crontask_changelist": gettext_noop("Cron tasks"),
}
_DOCUMENT: Final = "docs/operating.md"
_RUNBOOKS: Final[Mapping[str, tuple[str, str]]] = {
    Kind.JOB_DEAD: (
        gettext_noop("Read the error, fix its cause, then retry or discard the failure."),
        "dead-letters-increasing",
    ),
    Kind.DEAD_LETTERS_GROW: (
        gettext_noop("Check the newest failures; pause what causes them."),
        "dead-letters-increasing",
    ),
    Kind.EFFECT_UNKNOWN: (
        gettext_noop("Check in the main API whether the effect was executed; retry the job only if not."),
        "dead-letters-increasing",
    ),
    Kind.BREAKER_OPEN: (
        gettext_noop("Find out why the main API fails; jobs wait and resume by themselves."),
        "circuit-breaker-open",
    ),
    Kind.CREDENTIAL_REFUSED: (
        gettext_noop("Correct API_SERVICE_ACCOUNT_TOKEN and restart."),
        "http-401-or-403-from-the-main-api",
    ),
    Kind.QUEUE_LAG: (gettext_noop("Check for pauses and hanging workers; start more workers."), "jobs-stay-queued"),
    Kind.NO_WORKER: (gettext_noop("Start a worker: manage.py rqworker."), "jobs-stay-queued"),
    Kind.NO_SCHEDULER: (
        gettext_noop("Start a scheduler: manage.py rqscheduler."),
        "jobs-stay-scheduled-past-their-time-cron-does-not-fire",
    ),
    Kind.NO_SUBSCRIBER: (gettext_noop("Start a listener: manage.py pubsub_listener."), "a-settlement-does-not-grow"),
    Kind.CRON_FAILED: (
        gettext_noop("Read the error of its job; the task fires again at its next time."),
        "dead-letters-increasing",
    ),
    Kind.CRON_MISSED: (
        gettext_noop("Check that a scheduler is running."),
        "jobs-stay-scheduled-past-their-time-cron-does-not-fire",
    ),
    Kind.REDIS_GONE: (gettext_noop("Start Redis again: nothing is lost."), "redis-or-the-database-is-down"),
    Kind.DATABASE_GONE: (gettext_noop("Start the database again: nothing is lost."), "redis-or-the-database-is-down"),
    Kind.MAIN_API: (
        gettext_noop("The page says what its owners can change."),
        "the-scheduler-cannot-work-with-the-main-api",
    ),
    Kind.EVENT_QUESTION: (gettext_noop("Answer yes or no on its page before the default applies."), "events"),
}


def links_of(alert: Alert) -> dict[str, str]:
    """The addresses of the alert's page, of the failure and newest job behind it, and of the page of its kind.

    Empty without ops/, which has the pages.
    """
    details = {} if alert.kind == Kind.CODE else alert.details  # code may call anything a job
    jobs, failure = details.get("jobs"), details.get("failure")
    pages = {
        "alert": links.page("monitoring_alert_change", alert.pk) if alert.pk else "",
        "failure": links.page("jobs_failuregroup_change", failure) if failure else "",
        "job": links.page("jobs_job_change", jobs[-1]) if jobs else "",
        "page": links.page(PAGES[alert.kind]) if alert.kind in PAGES else "",
    }
    return {name: f"{settings.PUBLIC_URL}{path}" for name, path in pages.items() if path}


def runbook_of(kind: str) -> str:
    """What to do first, and the section that says more; empty for alerts raised by code."""
    if kind not in _RUNBOOKS:
        return ""
    first, section = _RUNBOOKS[kind]
    return f"{gettext(first)} {_DOCUMENT}#{section}"


def name_of_link(name: str) -> str:
    """How a message calls one of `links_of`.

    >>> name_of_link("failure")
    'Failure'
    """
    names = {"alert": gettext("Alert"), "failure": gettext("Failure"), "job": gettext("Job"), "page": gettext("Page")}
    return names[name]
