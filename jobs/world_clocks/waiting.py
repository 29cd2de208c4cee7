"""Why a world clock cannot make its next step now."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.utils.translation import override

from jobs import pauses, stops
from jobs.models import CampaignClock, Job, Pause, WorldClock
from jobs.registry import type_moving_world_time
from jobs.states import ENDED, State
from jobs.stops import DueJob
from jobs.world.ticking import LATE

LONGEST_PROBLEM: Final = 500  #: characters of a reason that is kept


class _Known(NamedTuple):
    """What is known of all clocks at a moment."""

    campaigns: Mapping[str, CampaignClock]
    jobs: Mapping[UUID, Job]
    stops: Mapping[str, DueJob]
    paused: list[Pause]
    now: datetime


def find_reasons(clocks: Sequence[WorldClock], now: datetime) -> dict[str, str]:
    """The reason by campaign; a clock that can make its step has none. Five queries at most, however many clocks.

    What holds a clock up for less than LATE, as steps and stops do, is a reason without words: nothing is wrong.
    """
    jobs = Job.objects.only("type", "state", "error")
    known = _Known(
        campaigns=CampaignClock.objects.only("is_active", "world_time").in_bulk([clock.pk for clock in clocks]),
        jobs=jobs.in_bulk([clock.step_job_id for clock in clocks if clock.step_job_id]),
        stops=stops.find_current([clock.pk for clock in clocks]),
        paused=pauses.active(),
        now=now,
    )
    found = ((clock.pk, _reason(clock, known)) for clock in clocks)
    return {campaign_id: reason for campaign_id, reason in found if reason is not None}


def _reason(clock: WorldClock, known: _Known) -> str | None:
    job = known.jobs.get(clock.step_job_id) if clock.step_job_id else None
    if job and job.state == State.DEAD:
        return f"step {clock.steps} failed, so the clock waits until its job is retried or discarded: {job.error}"
    if fault := _fault_of(known.campaigns.get(clock.pk)):
        return fault
    declared = type_moving_world_time()
    step = Job(type=declared.name, campaign_id=clock.pk, priority=declared.priority)
    if held := _sentences(pauses.blocking_pauses(step, known.paused)):
        return held
    late = clock.next_at is not None and known.now - clock.next_at > LATE
    if stop := known.stops.get(clock.pk):
        return f"the world stands at {stop.at.isoformat()} until its job has ended: {stop.job}" if late else ""
    if job and State(job.state) not in ENDED:
        return f"step {clock.steps} has not ended yet: its job is {job.state}" if late else ""
    return None


def _fault_of(campaign: CampaignClock | None) -> str:
    if campaign is None:
        return "the campaign has not been seen in the main API"
    if not campaign.is_active:
        return "the campaign is inactive"
    return "" if campaign.world_time else "the campaign has no world time: it runs on wall-clock time"


def _sentences(found: Sequence[Pause]) -> str:
    with override("en"):  # the clock keeps it
        names = pauses.campaign_names(found)
        return "; ".join(pauses.as_sentence(pause, names.get(pause.name, "")) for pause in found)
