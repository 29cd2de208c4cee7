"""Lists of advances, of one campaign or of all."""

from dataclasses import dataclass
from typing import Final

from jobs import calendars
from jobs.models import AdvancePrediction, CampaignClock, Job, WorldAdvance
from jobs.world.calendars.calendar import Calendar
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
    own = {one: calendars.of(one) for one in campaigns}
    listed = [
        Listed(
            advance=Advance(row, most_jobs=LISTED_JOBS, jobs=jobs),
            campaign=names.get(row.campaign_id) or row.campaign_id,
            calendar=own[row.campaign_id],
            has_prediction=row.job_id in said,
        )
        for row in rows
    ]
    return listed, rows[-1].pk if len(page) > LISTED else None
