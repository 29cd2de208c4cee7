"""Scenario of many campaigns of which hardly any does anything: what the service asks and writes all the same."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import F
from django.utils import timezone

from benchmarks.bench import Bench
from benchmarks.drained import BenchmarkFailed
from benchmarks.our_side import wait_for
from benchmarks.running import Phase, Running
from benchmarks.world import redis_at
from benchmarks.world_scenarios import RECALCULATIONS, check_expired
from jobs import catch_up, clock_poll, service
from jobs.main_api.client import main_api
from jobs.models import CampaignClock, Job
from jobs.service import Submission
from jobs.states import State
from jobs.world.clock import WorldTime

SIZES = (100, 1_000, 10_000)
SETTLEMENTS, STRUCTURES = 5, 5  #: 30 entities a campaign, with one event
EXPIRATIONS_PER_HOUR, RECALCULATIONS_PER_HOUR = 12, 1  #: by the initial schedules of the cron tasks
EXPIRATION = "EVENT_EXPIRATION"
CLOCK: Final = "3000-01-01T00:00:00.000Z"
ACTIVE_PER_MINUTE = 0.01  #: of the campaigns
AWAY = 0.1  #: of the campaigns that move while no listener runs
STEP: Final = timedelta(hours=2)  #: more than the interval of growth
MOST_GROWTH: Final = 1.5  #: of what a campaign costs, from one size to the next
REST_S: Final = 8.0
REACTED_WITHIN_S: Final = 30.0

Figures = dict[tuple[str, str], float]  #: by (name, unit)


@dataclass(slots=True)
class _Campaigns:
    """The world of one size, and the service that runs on it."""

    bench: Bench
    name: str
    ids: list[str]
    running: Running
    figures: Figures = field(default_factory=dict)

    def note(self, name: str, unit: str, value: float) -> None:
        self.figures[name, unit] = value
        self.bench.note(self.name, name, unit, ours=value)

    def note_cost(self, what: str, phase: Phase, count: int, per: str = "campaign") -> None:
        """Add what each of so many campaigns has cost."""
        self.note(f"{what}, requests", f"per {per}", phase.requests / count)
        self.note(f"{what}, jobs", f"per {per}", phase.jobs / count)
        self.note(f"{what}, CPU", f"ms per {per}", phase.cpu_s / count * 1000)
        self.note(f"{what}, rows written", f"per {per}", phase.rows / count)
        self.note(f"{what}, written", f"kB per {per}", phase.bytes_written / count / 1000)

    def move(self, campaign_id: str, *, told: bool) -> None:
        """Let a campaign's world time move on, with or without a message."""
        clock = CampaignClock.objects.get(pk=campaign_id).world_time
        to = WorldTime(WorldTime.parse(clock).at + STEP).isoformat()
        self.bench.control("POST", "advance", {"campaignId": campaign_id, "to": to})
        if told:
            channel = f"campaign.{campaign_id}.worldTimeAdvanced"
            redis_at(self.bench.our_redis).publish(channel, json.dumps({"newTime": to}))


def many_campaigns(bench: Bench) -> None:
    """Start with all campaigns new, look through them, catch up, and react while all are looked through."""
    smaller: _Campaigns | None = None
    for size in SIZES:
        if size <= SIZES[1] or bench.scale > 1:
            with _run_service(bench, max(20, int(size * min(1.0, bench.scale)))) as campaigns:
                for part in (_start_up, _idle, _catch_up, _react):
                    part(campaigns)
                _note_memory(campaigns)
            _check_linear(smaller, campaigns)
            smaller = campaigns


@contextmanager
def _run_service(bench: Bench, size: int) -> Iterator[_Campaigns]:
    world = {"kingdoms": 1, "settlements": SETTLEMENTS, "structures": STRUCTURES, "events": 1, "effects": 0}
    bench.control("POST", "reset", {"campaigns": size, **world})
    bench.ours.clear()
    ids = [c.id for c in main_api().campaigns(fresh=True) if c.is_active and c.current_world_time]
    for campaign_id in ids:
        bench.control("POST", "advance", {"campaignId": campaign_id, "to": CLOCK})
    with Running(bench) as running:
        yield _Campaigns(bench, f"many-campaigns, {size:,}", ids, running)


def _start_up(campaigns: _Campaigns) -> None:
    """The service has seen none of them before; each has an overdue event."""
    with campaigns.running.phase() as phase:
        campaigns.running.start("pubsub_listener")
        campaigns.running.wait(lambda: _is_caught_up(len(campaigns.ids)))
    check_expired(campaigns.ids)
    campaigns.note("start-up, last overdue event expired after", "s", phase.seconds)
    campaigns.note_cost("start-up", phase, len(campaigns.ids))


def _idle(campaigns: _Campaigns) -> None:
    """Nothing has changed: what an hour of that costs, beside what the processes need anyway."""
    with campaigns.running.phase() as rest:
        time.sleep(REST_S)
    with campaigns.running.phase() as phase:
        submitted = [_submit(kind) for kind in RECALCULATIONS]
        campaigns.running.wait(lambda: _has_ended(submitted))
    if phase.jobs > len(campaigns.ids) / 10 + 10:
        raise BenchmarkFailed(f"{phase.jobs} jobs for {len(campaigns.ids)} campaigns with nothing to do")
    with campaigns.running.phase() as expired:
        submitted = [_submit(EXPIRATION)]
        campaigns.running.wait(lambda: _has_ended(submitted))
    for measured in (phase, expired):
        measured.cpu_s = max(0.0, measured.cpu_s - rest.cpu_s / rest.seconds * measured.seconds)
    count = len(campaigns.ids)
    campaigns.note("at rest, CPU of all processes", "ms/s", rest.cpu_s / rest.seconds * 1000)
    campaigns.note("recalculation, from start to end", "s", phase.seconds)
    campaigns.note("recalculation, peak load", "requests/s", phase.peak)
    campaigns.note("expiration, from start to end", "s", expired.seconds)
    campaigns.note_cost("recalculation", phase, count)
    campaigns.note_cost("expiration", expired, count)
    requests = RECALCULATIONS_PER_HOUR * phase.requests + EXPIRATIONS_PER_HOUR * expired.requests + _polls_per_hour()
    campaigns.note("requests, idle", "per campaign and hour", requests / count)


def _polls_per_hour() -> float:
    """How often the listener reads all campaigns while nothing moves."""
    longest = settings.WORLD_TIME_POLL.total_seconds() * clock_poll.MOST_INTERVALS
    return 3600 / catch_up.EVERY + (3600 / longest if longest else 0)


def _catch_up(campaigns: _Campaigns) -> None:
    """A part of the campaigns moves while no listener runs; then one starts."""
    campaigns.running.stop("pubsub_listener")
    moved = campaigns.ids[: max(1, int(len(campaigns.ids) * AWAY))]
    for campaign_id in moved:
        campaigns.move(campaign_id, told=False)
    with campaigns.running.phase() as phase:
        campaigns.running.start("pubsub_listener")
        campaigns.running.wait(lambda: _is_caught_up(len(campaigns.ids)) and _has_grown(moved))
    campaigns.note("catch-up, last campaign done after", "s", phase.seconds)
    campaigns.note_cost("catch-up", phase, len(moved), "campaign behind")


def _react(campaigns: _Campaigns) -> None:
    """Some campaigns are active while all are looked through: each must be done at once."""
    submitted = [_submit(kind) for kind in RECALCULATIONS]
    count = max(1, round(len(campaigns.ids) * ACTIVE_PER_MINUTE))
    took = []
    for campaign_id in campaigns.ids[-count:]:
        began = timezone.now()
        campaigns.move(campaign_id, told=True)
        grown = Job.objects.filter(campaign_id=campaign_id, created_at__gte=began, type="SETTLEMENT_GROWTH")
        done = grown.filter(state=State.SUCCEEDED)
        wait_for(lambda done=done: done.count() >= SETTLEMENTS, within_s=REACTED_WITHIN_S)
        took.append((timezone.now() - began).total_seconds())
    campaigns.running.wait(lambda: _has_ended(submitted))
    campaigns.note("active, settlements have grown after", "s, at most", max(took))


def _note_memory(campaigns: _Campaigns) -> None:
    for command, now in campaigns.running.memory_mb().items():
        campaigns.note(f"memory, {command}", "MB", now)


def _check_linear(smaller: _Campaigns | None, larger: _Campaigns) -> None:
    """Raise BenchmarkFailed if a campaign costs more than among fewer, or a process needs more memory."""
    if smaller and (steeper := find_steeper(smaller.figures, larger.figures)):
        raise BenchmarkFailed(f"{larger.name}: {'; '.join(steeper)}")


def find_steeper(smaller: Figures, larger: Figures) -> list[str]:
    """The figures of the larger size that are more than MOST_GROWTH times those of the smaller one."""
    known = ((name, unit, value, smaller.get((name, unit), 0.0)) for (name, unit), value in larger.items())
    return [
        f"{name}, {unit}: {value:.3g} in place of {before:.3g}"
        for name, unit, value, before in known
        if _is_compared(unit) and before and value > MOST_GROWTH * before
    ]


def _is_compared(unit: str) -> bool:
    """Bytes written depend on how pages fill; on SQLite, each connection of a process keeps 64 MB of them in memory."""
    if unit == "MB":
        return connection.vendor != "sqlite"
    return " per " in f" {unit}" and not unit.startswith("kB")


def _submit(kind: str) -> str:
    submission = Submission(type=kind, campaign_id="", payload={}, subject=f"{time.time()}")
    return str(service.submit(submission, actor="benchmark")[0].id)


def _has_ended(job_ids: list[str]) -> bool:
    """Whether these jobs, and all that followed from them, have ended."""
    return not Job.objects.filter(id__in=job_ids, finished_at=None).exists() and _is_idle()


def _is_idle() -> bool:
    under_way = (State.SCHEDULED, State.QUEUED, State.RUNNING, State.RETRYING)
    return not Job.objects.filter(state__in=under_way).exists()


def _is_caught_up(count: int) -> bool:
    """Whether so many world times are processed as they are, and all jobs have ended."""
    processed = CampaignClock.objects.filter(processed_world_time=F("world_time")).exclude(world_time="")
    return processed.count() >= count and _is_idle()


def _has_grown(campaign_ids: list[str]) -> bool:
    grown = Job.objects.filter(type="SETTLEMENT_GROWTH", state=State.SUCCEEDED, campaign_id__in=campaign_ids)
    return grown.values("campaign_id").distinct().count() == len(campaign_ids)
