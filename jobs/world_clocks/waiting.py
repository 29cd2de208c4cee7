"""Why a world clock cannot make its next step now."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from jobs import pauses
from jobs.models import CampaignClock, Job, Pause, WorldClock
from jobs.registry import type_moving_world_time
from jobs.states import ENDED, State
from jobs.world.ticking import LATE


def find_reasons(clocks: Sequence[WorldClock], now: datetime) -> dict[str, str]:
    """The reason by campaign; a clock that can make its step has none. Three queries, however many clocks.

    A step that goes on for less than LATE is a reason without words: nothing is wrong.
    """
    campaigns = CampaignClock.objects.in_bulk([clock.pk for clock in clocks])
    jobs = Job.objects.defer("traceback").in_bulk([clock.step_job_id for clock in clocks if clock.step_job_id])
    paused = pauses.active()
    found = ((clock.pk, _reason(clock, campaigns.get(clock.pk), jobs, paused, now)) for clock in clocks)
    return {campaign_id: reason for campaign_id, reason in found if reason is not None}


def _reason(
    clock: WorldClock,
    campaign: CampaignClock | None,
    jobs: Mapping[UUID, Job],
    paused: list[Pause],
    now: datetime,
) -> str | None:
    job = jobs.get(clock.step_job_id) if clock.step_job_id else None
    if job and job.state == State.DEAD:
        return f"step {clock.steps} failed, so the clock waits until its job is retried or discarded: {job.error}"
    if fault := _fault_of(campaign):
        return fault
    declared = type_moving_world_time()
    step = Job(type=declared.name, campaign_id=clock.pk, priority=declared.priority)
    if held := _sentences(pauses.blocking(step, paused)):
        return held
    if job and State(job.state) not in ENDED:
        late = clock.next_at is not None and now - clock.next_at > LATE
        return f"step {clock.steps} has not ended yet: its job is {job.state}" if late else ""
    return None


def _fault_of(campaign: CampaignClock | None) -> str:
    if campaign is None:
        return "the campaign has not been seen in the main API"
    if not campaign.is_active:
        return "the campaign is inactive"
    return "" if campaign.world_time else "the campaign has no world time: it runs on wall-clock time"


def _sentences(found: Iterable[Pause]) -> str:
    return "; ".join(pauses.as_sentence(pause) for pause in found)
