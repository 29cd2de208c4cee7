"""Lists of advances, of one campaign or of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import Case, CharField, Count, Exists, OuterRef, Subquery, UUIDField, Value, When

from jobs import calendars, pauses, stops
from jobs.models import AdvancePrediction, CampaignClock, Job, ScheduleRow, WorldAdvance
from jobs.states import State
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import sortable
from ops.reads.advance import Advance

LISTED: Final = 25  #: advances of a list
LISTED_JOBS: Final = 2000  #: of the campaign, since each advance of a list, that are searched for its own


@dataclass(frozen=True, slots=True)
class Listed:
    """An advance in a list."""

    advance: Advance
    campaign: str
    calendar: Calendar
    has_prediction: bool


def list_latest(campaign_id: str | None, before: int | None) -> tuple[list[Listed], int | None]:
    """Advances of one campaign or of all, newest first, and the ID after which there are more."""
    found = WorldAdvance.objects.all() if campaign_id is None else WorldAdvance.objects.filter(campaign_id=campaign_id)
    page = list((found.filter(pk__lt=before) if before else found).order_by("-id")[: LISTED + 1])
    rows = page[:LISTED]
    jobs = Job.objects.in_bulk([row.job_id for row in rows if row.job_id])
    said = set(AdvancePrediction.objects.filter(pk__in=jobs).values_list("pk", flat=True))
    campaigns = {row.campaign_id for row in rows}
    names = dict(CampaignClock.objects.filter(pk__in=campaigns).values_list("pk", "name"))
    own = calendars.of_campaigns(campaigns)
    advances = [Advance(row, most_jobs=LISTED_JOBS, jobs=jobs) for row in rows]
    if advances:
        _read_ahead(advances)
    listed = [
        Listed(
            advance=advance,
            campaign=names.get(advance.row.campaign_id) or advance.row.campaign_id,
            calendar=own[advance.row.campaign_id],
            has_prediction=advance.row.job_id in said,
        )
        for advance in advances
    ]
    return listed, rows[-1].pk if len(page) > LISTED else None


def _read_ahead(advances: Sequence[Advance]) -> None:
    """Read what a list shows of each advance, for all at once; three queries."""
    found, paused = _look_around(advances), pauses.active()
    for advance in advances:
        advance.paused = paused
        advance.ceiling, stop, advance.has_rows_left = found[advance.row.pk]
        advance.stands = bool(stop) and advance.is_on_the_way(stop)
    counted = _count(advances)
    for advance in advances:
        advance.counted = counted[advance.row.pk]


def _look_around(advances: Sequence[Advance]) -> dict[int, tuple[UUID | None, str, bool]]:
    """By advance: its ceiling, the first stop that its campaign has reached by its end, and whether rows are left."""
    floors = Case(*[When(pk=one.row.pk, then=Value(one.floor)) for one in advances], output_field=UUIDField())
    ends = Case(*[When(pk=one.row.pk, then=Value(sortable(one.to))) for one in advances], output_field=CharField())
    campaign_id, end = OuterRef("campaign_id"), OuterRef("end")
    later = Job.objects.filter(campaign_id=campaign_id, pk__gte=OuterRef("floor")).order_by("pk").values("pk")
    most = advances[0].most_jobs
    due = ScheduleRow.objects.filter(campaign_id=campaign_id, clock="world", next_due__gt="", next_due__lte=end)
    rows = WorldAdvance.objects.filter(pk__in=[one.row.pk for one in advances]).annotate(floor=floors, end=ends)
    found = rows.annotate(
        ceiling=Subquery(later[most : most + 1]), stop=stops.first_reached_at(campaign_id, end), left=Exists(due)
    )
    return {
        pk: (ceiling, stop or "", left)
        for pk, ceiling, stop, left in found.values_list("pk", "ceiling", "stop", "left")
    }


def _count(advances: Sequence[Advance]) -> dict[int, list[tuple[State, str, int, int]]]:
    """By advance: state, type, priority and number of its jobs."""
    groups = [
        Job.objects.filter(one.condition)
        .order_by()
        .annotate(advance=Value(one.row.pk))
        .values_list("advance", "state", "type", "priority")
        .annotate(n=Count("id"))
        for one in advances
    ]
    counted: dict[int, list[tuple[State, str, int, int]]] = {one.row.pk: [] for one in advances}
    for pk, state, kind, priority, n in groups[0].union(*groups[1:], all=True):
        counted[pk].append((State(state), kind, priority, n))
    return counted
