"""What every page has: the way around, the palette's answers and the environment's name."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.conf import settings
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.module_loading import import_string
from unfold.dataclasses import SearchResult

from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.registry import all_types
from jobs.text import is_job_id

FOUND = 8  #: campaigns, and settlements and structures, that the palette offers


def environment(request: HttpRequest) -> list[str]:
    """The environment's name beside the title; production in red."""
    return [settings.ENVIRONMENT, "danger" if settings.ENVIRONMENT == "production" else "info"]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The way around; only what the person may see."""
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
    """Title, page, icon and permission of each link, by group."""
    return [
        ("Work", [
            ("Dashboard", "admin:index", "monitoring", "jobs.view_job"),
            ("Jobs", "admin:jobs_job_changelist", "work", "jobs.view_job"),
            ("Failures", "admin:jobs_failuregroup_changelist", "error", "jobs.view_failuregroup"),
            ("Cron tasks", "admin:jobs_crontask_changelist", "schedule", "jobs.view_crontask"),
        ]),
        ("Engine", [
            ("Queues", "django_rq:home", "stacks", "jobs.view_job"),
            ("Processes", "admin:jobs_processes", "memory", "jobs.view_job"),
            ("Pauses", "admin:jobs_pause_changelist", "pause_circle", "jobs.view_job"),
            ("Circuit breaker", "admin:jobs_breaker", "electric_bolt", "jobs.view_job"),
        ]),
        ("World", [
            ("Campaigns", "admin:jobs_campaignclock_changelist", "public", "jobs.view_campaignclock"),
            ("Schedules", "admin:jobs_schedulerow_changelist", "event_upcoming", "jobs.view_schedulerow"),
        ]),
        *_watch(user),
        ("People", [
            ("Audit trail", "admin:jobs_auditentry_changelist", "history", "jobs.view_auditentry"),
            ("Users", "admin:auth_user_changelist", "person", "auth.view_user"),
            ("Groups", "admin:auth_group_changelist", "group", "auth.view_group"),
        ]),
    ]  # fmt: skip


def _on_page(request: HttpRequest, link: str) -> dict[str, bool]:
    """Pages that others lie under are current only themselves; of the rest unfold knows."""
    return {"active": request.path == link} if link.endswith("/pause/") else {}


def _watch(user: Any) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    """The pages of alerts, where monitoring is installed."""
    if not apps.is_installed("monitoring"):
        return []
    see = "jobs.view_job" if user.has_perm("jobs.view_job") else "jobs.manage_alerts"
    return [("Alerts", [
        ("Alerts", "admin:monitoring_alert_changelist", "notifications", see),
        ("Alert handlers", "admin:monitoring_alerthandler_changelist", "campaign", "jobs.manage_alerts"),
        ("Deliveries", "admin:monitoring_delivery_changelist", "outbox", see),
    ])]  # fmt: skip


def _badge(request: HttpRequest, page: str) -> dict[str, str]:
    """How many alerts are open, beside the way to them; asked by name, for jobs/ imports nothing of monitoring/."""
    if page != "admin:monitoring_alert_changelist":
        return {}
    count = import_string("monitoring.admin.access.open_badge")(request)
    return {"badge": count, "badge_variant": "danger"} if count else {}


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """What the command palette answers beside the pages: a job by its id, types, campaigns, settlements, structures."""
    found: list[SearchResult] = []
    if request.user.has_perm("jobs.view_job"):
        found += _jobs(term)
    if request.user.has_perms(("jobs.view_campaignclock", "jobs.view_schedulerow")):
        found += _world(term)
    return found


def _jobs(term: str) -> Iterator[SearchResult]:
    """The job of that id, and the lists of types whose name holds the term."""
    job = Job.objects.filter(pk=term).first() if is_job_id(term) else None
    if job:
        link = reverse("admin:jobs_job_change", args=[job.pk])
        yield SearchResult(title=str(job), description=f"Job, {job.state}", link=link, icon="work")
    jobs = reverse("admin:jobs_job_changelist")
    for name in sorted(all_types()):
        if term.replace(" ", "_") in name.lower():
            yield SearchResult(title=name, description="Jobs of this type", link=f"{jobs}?type={name}", icon="work")


def _world(term: str) -> Iterator[SearchResult]:
    """The page of each campaign of that name, with all of it or with one settlement or structure alone."""
    for clock in CampaignClock.objects.filter(name__icontains=term)[:FOUND]:
        title = clock.name or clock.campaign_id
        yield SearchResult(title=title, description="Campaign", link=_campaign(clock.pk), icon="public")
    named = ScheduleRow.objects.filter(entity_name__icontains=term).order_by()
    entities = named.values_list("entity_name", "entity_type", "entity_id", "campaign_id").distinct()
    for name, kind, entity, campaign in entities[:FOUND]:
        link = f"{_campaign(campaign)}?{urlencode({'q': entity})}"
        yield SearchResult(title=name, description=f"{kind} {entity}: when it is due", link=link, icon="event_upcoming")


def _campaign(pk: str) -> str:
    return reverse("admin:jobs_campaignclock_change", args=[quote(pk)])
