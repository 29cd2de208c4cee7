"""Which topics each page follows; other apps register theirs in ready()."""

from collections.abc import Mapping
from typing import Any

_everywhere = ["orders", "verdict", "questions"]  #: for the banner and the menu's badges
topics_by_page: dict[str, tuple[str, ...]] = {
    "admin:index": ("moves", "actions", "queues"),
    "admin:jobs_job_changelist": ("moves",),
    "admin:jobs_job_change": ("job:{object_id}",),
    "admin:jobs_upcoming": ("moves", "actions", "firings"),
    "admin:jobs_failuregroup_changelist": ("moves", "actions"),
    "admin:jobs_failuregroup_change": ("moves", "actions"),
    "admin:jobs_crontask_changelist": ("firings", "moves", "actions"),
    "admin:jobs_crontask_change": ("firings", "moves", "actions"),
    "admin:jobs_campaignclock_changelist": ("moves", "actions"),
    "admin:jobs_campaignclock_change": ("moves", "actions"),
    "admin:jobs_campaignclock_advances": ("moves", "actions"),
    "admin:jobs_campaignclock_advance": ("moves", "actions"),
    "admin:jobs_campaignclock_world_clock": ("moves", "actions"),
    "admin:jobs_advances": ("moves", "actions"),
    "admin:jobs_worldclock_changelist": ("moves", "actions"),
    "admin:jobs_eventquestion_changelist": ("moves", "actions"),
    "admin:jobs_pause_changelist": ("actions", "queues"),
    "admin:jobs_processes": ("processes", "actions"),
    "admin:jobs_breaker": ("actions",),
    "admin:jobs_main_api_limits": ("actions",),
    "admin:jobs_auditentry_changelist": ("moves", "actions"),
    "django_rq:home": ("queues", "processes"),
    "django_rq:queue_details": ("queues", "moves"),
    "django_rq:workers": ("processes", "moves"),
    "django_rq:worker_details": ("processes", "moves"),
    **dict.fromkeys(
        (
            f"django_rq:{name}"
            for name in ("jobs", "started_jobs", "finished_jobs", "failed_jobs", "scheduled_jobs", "deferred_jobs")
        ),
        ("queues", "moves"),
    ),
}


def add_page(name: str, *topics: str) -> None:
    """Let the page with this URL name follow topics; {kwarg} in one is that part of the page's address."""
    topics_by_page[name] = topics


def add_everywhere(topic: str) -> None:
    """Let every live page follow a topic, for a badge of the menu."""
    if topic not in _everywhere:
        _everywhere.append(topic)


def find_topics(name: str, parts: Mapping[str, Any]) -> list[str]:
    """The topics of a page, with the parts of its address; none if it is not live."""
    own = topics_by_page.get(name)
    return [topic.format(**parts) for topic in (*own, *_everywhere)] if own else []
