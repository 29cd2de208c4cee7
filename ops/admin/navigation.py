"""The menu beside every page, and the environment's name above it."""

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from ops import menu

_BELOW: Final = {  #: pages below another's address that have links of their own
    "/campaignclock/": ["admin:jobs_advances"],
    "/job/": ["admin:jobs_upcoming", "admin:jobs_types"],
}


def environment(request: HttpRequest) -> list[str]:
    """The label beside the title; production is red."""
    return [settings.ENVIRONMENT, "danger" if settings.ENVIRONMENT == "production" else "info"]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, limited to pages that the user may see."""
    shown: list[dict[str, Any]] = []
    for title, items in _groups(request.user):
        links = [
            {
                "title": name,
                "link": (link := reverse(page)),
                "icon": icon,
                **_on_page(request, link),
                **_badge(request, page),
            }
            for name, page, icon, permission in items
            if request.user.has_perm(permission)
        ]
        if links:
            shown.append({"title": title, "separator": bool(shown), "items": links})
    return shown


def _groups(user: Any) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    return [
        (
            gettext("Work"),
            [
                (gettext("Dashboard"), "admin:index", "monitoring", "jobs.view_job"),
                (gettext("Jobs"), "admin:jobs_job_changelist", "work", "jobs.view_job"),
                (gettext("Upcoming"), "admin:jobs_upcoming", "upcoming", "jobs.view_job"),
                (gettext("Failures"), "admin:jobs_failuregroup_changelist", "error", "jobs.view_failuregroup"),
                (gettext("Cron tasks"), "admin:jobs_crontask_changelist", "schedule", "jobs.view_crontask"),
            ],
        ),
        (
            gettext("Engine"),
            [
                (gettext("Queues"), "django_rq:home", "stacks", "jobs.view_job"),
                (gettext("Processes"), "admin:jobs_processes", "memory", "jobs.view_job"),
                (gettext("Pauses"), "admin:jobs_pause_changelist", "pause_circle", "jobs.view_job"),
                (gettext("Circuit breaker"), "admin:jobs_breaker", "electric_bolt", "jobs.view_job"),
                (gettext("Main API"), "admin:jobs_main_api", "fact_check", "jobs.view_job"),
                (gettext("Types"), "admin:jobs_types", "category", "jobs.view_job"),
                (gettext("Limits"), "admin:jobs_main_api_limits", "speed", "jobs.view_job"),
            ],
        ),
        (
            gettext("World"),
            [
                (gettext("Campaigns"), "admin:jobs_campaignclock_changelist", "public", "jobs.view_campaignclock"),
                (gettext("Advances"), "admin:jobs_advances", "fast_forward", "jobs.view_job"),
                (gettext("World clocks"), "admin:jobs_worldclock_changelist", "more_time", "jobs.view_campaignclock"),
                (gettext("Schedules"), "admin:jobs_schedulerow_changelist", "event_upcoming", "jobs.view_schedulerow"),
                (gettext("Event policies"), "admin:jobs_eventpolicy_changelist", "rule", "jobs.view_job"),
                (gettext("Questions"), "admin:jobs_eventquestion_changelist", "contact_support", "jobs.view_job"),
            ],
        ),
        *(group(user) for group in menu.groups),
        (
            gettext("People"),
            [
                (gettext("Audit trail"), "admin:jobs_auditentry_changelist", "history", "jobs.view_auditentry"),
                (gettext("Who may do what"), "admin:jobs_roles", "badge", "jobs.view_job"),
                (gettext("Users"), "admin:auth_user_changelist", "person", "auth.view_user"),
                (gettext("Groups"), "admin:auth_group_changelist", "group", "auth.view_group"),
                (gettext("Failed logins"), "admin:axes_accessattempt_changelist", "lock", "axes.view_accessattempt"),
            ],
        ),
    ]


def _on_page(request: HttpRequest, link: str) -> dict[str, bool]:
    """Unfold marks a link active for all pages below it, which is wrong for pages with others below them."""
    below = next((pages for end, pages in _BELOW.items() if link.endswith(end)), ())
    if below:
        is_below = request.path.startswith(tuple(map(reverse, below)))
        return {"active": request.path.startswith(link) and not is_below}
    return {"active": request.path == link} if link.endswith("/pause/") else {}


def _badge(request: HttpRequest, page: str) -> dict[str, str]:
    badge = menu.read_badge(request, page)
    return {"badge": badge} if badge else {}
