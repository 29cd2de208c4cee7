"""What the command palette finds."""

from collections.abc import Iterator
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.db.models import Case, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext
from unfold.dataclasses import SearchResult

from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.registry import all_types
from jobs.states import State
from ops.admin.navigation import navigation
from ops.labels import STATES, label_of_kind
from scheduler_project.text import is_job_id

FOUND = 8  #: campaigns, and as many settlements and structures


def find(request: HttpRequest, term: str) -> list[SearchResult]:
    """Pages of the menu, a job by its id, types, campaigns, settlements and structures; last the jobs' own search."""
    found = list(_pages(request, term))
    may_see_jobs = request.user.has_perm("jobs.view_job")
    if may_see_jobs:
        found += _jobs(term)
    if request.user.has_perms(("jobs.view_campaignclock", "jobs.view_schedulerow")):
        found += _world(term)
    if may_see_jobs and not is_job_id(term):
        found.append(_search(term))
    return found


def _pages(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    for group in navigation(request):
        for link in group["items"]:
            if term in link["title"].lower():
                yield SearchResult(
                    title=link["title"], description=group["title"], link=link["link"], icon=link["icon"]
                )


def _jobs(term: str) -> Iterator[SearchResult]:
    """The job with that id, and the lists of types whose names contain the term."""
    job = Job.objects.filter(pk=term).first() if is_job_id(term) else None
    if job:
        link = reverse("admin:jobs_job_change", args=[job.pk])
        yield SearchResult(
            title=str(job),
            description=gettext("Job, %(state)s") % {"state": STATES[State(job.state)]},
            link=link,
            icon="work",
        )
    jobs = reverse("admin:jobs_job_changelist")
    for name in sorted(all_types()):
        if term.replace(" ", "_") in name.lower():
            yield SearchResult(
                title=name, description=gettext("Jobs of this type"), link=f"{jobs}?type={name}", icon="work"
            )


def _search(term: str) -> SearchResult:
    """Effects and events have no page of their own: their jobs say what became of them."""
    return SearchResult(
        title=gettext("Search jobs for “%(term)s”") % {"term": term},
        description=gettext("Also effects, events and errors"),
        link=f"{reverse('admin:jobs_job_changelist')}?{urlencode({'q': term})}",
        icon="search",
    )


def _world(term: str) -> Iterator[SearchResult]:
    """The pages of campaigns, and of settlements and structures within their campaign, whose names contain the term."""
    for clock in CampaignClock.objects.filter(name__icontains=term).order_by(_best("name", term), "name")[:FOUND]:
        title = clock.name or clock.campaign_id
        yield SearchResult(title=title, description=gettext("Campaign"), link=_campaign(clock.pk), icon="public")
    named = ScheduleRow.objects.filter(entity_name__icontains=term).order_by(_best("entity_name", term), "entity_name")
    entities = named.values_list("entity_name", "entity_type", "entity_id", "campaign_id").distinct()
    for name, kind, entity, campaign in entities[:FOUND]:
        link = f"{_campaign(campaign)}?{urlencode({'q': entity})}"
        yield SearchResult(
            title=name,
            description=gettext("%(kind)s %(id)s: when it is due")
            % {"kind": capfirst(label_of_kind(kind)), "id": entity},
            link=link,
            icon="event_upcoming",
        )


def _best(field: str, term: str) -> Case:
    """First the names that begin with the term: a town before the many structures that are called after it."""
    return Case(When(**{f"{field}__istartswith": term}, then=0), default=1)


def _campaign(pk: str) -> str:
    return reverse("admin:jobs_campaignclock_change", args=[quote(pk)])
