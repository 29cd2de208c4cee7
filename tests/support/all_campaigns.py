"""Looking through all campaigns, as the jobs of the hourly tasks do."""

from typing import Any, Final

from django.db.models import F

from jobs.engine.worker import attempt
from jobs.models import CampaignClock, Job
from jobs.states import State
from tests.support.slices import claim_oldest, submit, work_off

SETTLEMENTS, STRUCTURES = KINDS = ("RECALCULATE_SETTLEMENT_SCHEDULES", "RECALCULATE_STRUCTURE_SCHEDULES")
WORLD: Final = {"kingdoms": 1, "settlements": 2, "structures": 2}


def see_all() -> None:
    """Recalculate every campaign for the first time, and let the listener have processed their clocks."""
    for kind in KINDS:
        submit(kind, "")
    work_off()
    CampaignClock.objects.update(processed_world_time=F("world_time"))
    Job.objects.all().delete()


def look_through() -> list[dict[str, Any]]:
    """Look through all campaigns once; the campaigns' own jobs are left. Returns the results."""
    for kind in KINDS:
        submit(kind, "")
    while jobs := claim_oldest(campaign_id=""):
        attempt.record(attempt.run_handler(jobs), actor="worker:w", worker="w")
    every = Job.objects.filter(campaign_id="").order_by("id")
    assert {job.state for job in every} == {State.SUCCEEDED}, [job.error for job in every]
    return [job.result for job in every if job.result]


def types_by_campaign() -> dict[str, set[str]]:
    """The types of the campaigns' own jobs."""
    jobs: dict[str, set[str]] = {}
    for campaign_id, kind in Job.objects.exclude(campaign_id="").values_list("campaign_id", "type"):
        jobs.setdefault(campaign_id, set()).add(kind)
    return jobs
