"""The menu beside every page, and the environment's name above it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from ops import menu
from scheduler_project.languages import PerLanguage

#: Pages below another's address that have links of their own.
_BELOW: Final = {
    "admin:jobs_campaignclock_changelist": ["admin:jobs_advances"],
    "admin:jobs_job_changelist": ["admin:jobs_upcoming", "admin:jobs_types"],
}
#: Pages that are not where they are shown: every address begins with the first one's.
_ALONE: Final = ("admin:index", "admin:jobs_pause_changelist")


def environment(request: HttpRequest) -> list[str]:
    """The label beside the title; production is red."""
    return [settings.ENVIRONMENT, "danger" if settings.ENVIRONMENT == "production" else "info"]


@dataclass(frozen=True, slots=True)
class _Link:
    page: str
    permissions: Sequence[str]
    shown: dict[str, str]  #: what the menu shows of it on every page
    below: tuple[str, ...]

    def is_active(self, path: str) -> bool:
        """Whether the page is this one, or below it and below no other link."""
        url = self.shown["link"]
        if self.page in _ALONE:
            return path == url
        return path.startswith(url) and not path.startswith(self.below)


_links: Final = PerLanguage[list[tuple[str, list[_Link]]]]()


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, limited to pages that the user may see."""
    shown: list[dict[str, Any]] = []
    may = cache(request.user.has_perm)
    for title, links in _links.get(_make_links):
        items = [
            {**link.shown, "active": link.is_active(request.path), **_badge(request, link.page)}
            for link in links
            if any(map(may, link.permissions))
        ]
        if items:
            shown.append({"title": title, "separator": bool(shown), "items": items})
    return shown


def _make_links() -> list[tuple[str, list[_Link]]]:
    return [
        (
            title,
            [
                _Link(
                    page,
                    permissions,
                    {"title": name, "link": reverse(page), "icon": icon},
                    tuple(map(reverse, _BELOW.get(page, ()))),
                )
                for name, page, icon, permissions in links
            ],
        )
        for title, links in _groups()
    ]


def _groups() -> list[menu.Group]:
    jobs, campaigns, schedules = ("jobs.view_job",), ("jobs.view_campaignclock",), ("jobs.view_schedulerow",)
    return [
        (
            gettext("Work"),
            [
                (gettext("Dashboard"), "admin:index", "monitoring", jobs),
                (gettext("Jobs"), "admin:jobs_job_changelist", "work", jobs),
                (gettext("Upcoming"), "admin:jobs_upcoming", "upcoming", jobs),
                (gettext("Failures"), "admin:jobs_failuregroup_changelist", "error", ("jobs.view_failuregroup",)),
                (gettext("Cron tasks"), "admin:jobs_crontask_changelist", "schedule", ("jobs.view_crontask",)),
            ],
        ),
        (
            gettext("Engine"),
            [
                (gettext("Queues"), "django_rq:home", "stacks", jobs),
                (gettext("Processes"), "admin:jobs_processes", "memory", jobs),
                (gettext("Pauses"), "admin:jobs_pause_changelist", "pause_circle", jobs),
                (gettext("Circuit breaker"), "admin:jobs_breaker", "electric_bolt", jobs),
                (gettext("Main API"), "admin:jobs_main_api", "fact_check", jobs),
                (gettext("Types"), "admin:jobs_types", "category", jobs),
                (gettext("Limits"), "admin:jobs_main_api_limits", "speed", jobs),
            ],
        ),
        (
            gettext("World"),
            [
                (gettext("Campaigns"), "admin:jobs_campaignclock_changelist", "public", campaigns),
                (gettext("Advances"), "admin:jobs_advances", "fast_forward", jobs),
                (gettext("World clocks"), "admin:jobs_worldclock_changelist", "more_time", campaigns),
                (gettext("Schedules"), "admin:jobs_schedulerow_changelist", "event_upcoming", schedules),
                (gettext("Event policies"), "admin:jobs_eventpolicy_changelist", "rule", jobs),
                (gettext("Questions"), "admin:jobs_eventquestion_changelist", "contact_support", jobs),
            ],
        ),
        *(group() for group in menu.groups),
        (
            gettext("People"),
            [
                (gettext("Audit trail"), "admin:jobs_auditentry_changelist", "history", ("jobs.view_auditentry",)),
                (gettext("Who may do what"), "admin:jobs_roles", "badge", jobs),
                (gettext("Users"), "admin:auth_user_changelist", "person", ("auth.view_user",)),
                (gettext("Groups"), "admin:auth_group_changelist", "group", ("auth.view_group",)),
                (gettext("Failed logins"), "admin:axes_accessattempt_changelist", "lock", ("axes.view_accessattempt",)),
            ],
        ),
    ]


def _badge(request: HttpRequest, page: str) -> dict[str, str]:
    badge = menu.read_badge(request, page)
    return {"badge": badge} if badge else {}
