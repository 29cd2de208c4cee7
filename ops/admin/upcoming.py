"""What will run in the next hours, by minute."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext

from jobs.models import CampaignClock
from jobs.registry import all_types
from jobs.state_counts import count_states
from jobs.states import State
from ops.admin.base import render_page
from ops.admin.filtered_list import name_unknown
from ops.humanize import limited_count
from ops.labels import label
from ops.reads import upcoming as read
from ops.reads.upcoming_items import OpenMinute, read_minute
from ops.reads.upcoming_sources import MOST, SCANNED, RunQuery, RunSource
from scheduler_project.moments import read_moment
from scheduler_project.snapshot import snapshot
from scheduler_project.text import LONGEST_ID, StrOrPromise, plain

MOST_CAMPAIGNS: Final = 200  #: offered while somebody writes
OVERDUE: Final = "overdue"  #: in place of a minute


def show(request: HttpRequest) -> HttpResponse:
    """The page, or the items of the minute that the address names: the page asks for them when one is opened."""
    if not request.user.has_perm("jobs.view_job"):
        raise PermissionDenied
    now, chosen = timezone.now(), _read_filter(request)
    hours = request.GET.get("hours", read.DEFAULT)
    hours = hours if hours in read.WINDOWS else read.DEFAULT
    window = read.WINDOWS[hours]
    wanted = RunQuery(None, now + timedelta(hours=window.hours), **chosen)
    with snapshot():
        if "minute" in request.GET:
            return TemplateResponse(request, "ops/upcoming_items.html", _open(request, wanted, window, now))
        start = read.read_start(request.GET.get("from", ""), window, now)
        page = read.read_upcoming(wanted, window, now, start)
        queued = limited_count(count_states()[State.QUEUED])
        campaigns = list(CampaignClock.objects.order_by("name").values_list("pk", "name")[:MOST_CAMPAIGNS])
    context = {
        "title": gettext("Upcoming"),
        "upcoming": page,
        "queued": queued,
        "hours": hours,
        "step": window.step,
        "windows": read.WINDOWS,
        "ticks": page.bars[:: len(page.bars) // 6],
        "starts_later": start is not None,
        "filters": urlencode({name: value for name, value in chosen.items() if value}),
        "chosen": chosen,
        "types": _offer({name: label(name) for name in sorted(all_types())}, chosen["type"]),
        "sources": _offer(read.NAMES, chosen["source"]),
        "unknown": _name_unknown(chosen),
        "campaigns": campaigns,
        "most": MOST,
        "scanned": SCANNED,
    }
    return render_page(request, "ops/upcoming.html", context)


def _read_filter(request: HttpRequest) -> dict[str, str]:
    """The chosen type, source and campaign; what does not exist matches nothing."""
    return {name: plain(request.GET.get(name, ""))[:LONGEST_ID].strip() for name in ("type", "source", "campaign_id")}


def _offer(known: Mapping[Any, StrOrPromise], chosen: str) -> list[tuple[str, StrOrPromise]]:
    """The choices of a filter, and what was chosen if it is none of them."""
    offered: list[tuple[str, StrOrPromise]] = [(str(name), text) for name, text in known.items()]
    return offered if not chosen or chosen in known else [*offered, (chosen, name_unknown(chosen))]


def _name_unknown(chosen: Mapping[str, str]) -> list[str]:
    """The filters whose value does not exist."""
    known = {"type": (gettext("type"), all_types()), "source": (gettext("source"), list(RunSource))}
    return [
        f"{title}: {chosen[name]}"
        for name, (title, names) in known.items()
        if chosen[name] and chosen[name] not in names
    ]


def _open(request: HttpRequest, wanted: RunQuery, window: read.LookAhead, now: datetime) -> dict[str, Any]:
    """Raises Http404 for a minute that the window does not have; of one that is over nothing is left."""
    minute = request.GET["minute"]
    at = now if minute == OVERDUE else read.read_start(minute, window, now)
    if at is not None:
        return {"open": read_minute(wanted, at, now, overdue=minute == OVERDUE)}
    with suppress(ValueError):
        if read_moment(minute) < now:
            return {"open": OpenMinute([], [])}
    raise Http404
