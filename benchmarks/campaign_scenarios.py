"""Scenario of many campaigns of which hardly any does anything: what the service asks and writes all the same."""

from benchmarks.bench import Bench
from benchmarks.drained import BenchmarkFailed, Drained
from benchmarks.world_scenarios import RECALCULATIONS, check_expired, work_off
from jobs.main_api.client import main_api

SIZES = (100, 1_000, 10_000)
SETTLEMENTS, STRUCTURES = 5, 5  #: 30 entities a campaign, with one event
EXPIRATIONS_PER_HOUR, RECALCULATIONS_PER_HOUR = 12, 1  #: by the initial schedules of the cron tasks
EXPIRATION = "EVENT_EXPIRATION"


def many_campaigns(bench: Bench) -> None:
    """Recalculate and expire with nothing to do, then expire one event of each campaign."""
    for size in SIZES:
        if size <= SIZES[1] or bench.scale > 1:
            _measure(bench, max(1, int(size * min(1.0, bench.scale))))


def _measure(bench: Bench, campaigns: int) -> None:
    name = f"many-campaigns, {campaigns:,}"
    world = {"kingdoms": 1, "settlements": SETTLEMENTS, "structures": STRUCTURES, "events": 1, "effects": 0}
    bench.control("POST", "reset", {"campaigns": campaigns, **world})
    ids = [campaign.id for campaign in main_api().campaigns(fresh=True) if campaign.is_active]
    for campaign_id in ids:
        bench.control("POST", "advance", {"campaignId": campaign_id, "to": "3000-01-01T00:00:00Z"})
    bench.ours.clear()
    overdue = work_off(bench, [(EXPIRATION, "")])
    check_expired(ids)
    bench.note(name, "last overdue event expired after", "s", ours=overdue.seconds)
    work_off(bench, [(kind, "") for kind in RECALCULATIONS])  # sees all entities for the first time
    hourly = work_off(bench, [(kind, "") for kind in RECALCULATIONS])
    expiration = work_off(bench, [(EXPIRATION, "")])
    for what, took in (("recalculation", hourly), ("expiration", expiration)):
        _note(bench, name, what, took, campaigns)
    requests = RECALCULATIONS_PER_HOUR * hourly.spent.requests + EXPIRATIONS_PER_HOUR * expiration.spent.requests
    bench.note(name, "requests, idle", "per campaign and hour", ours=requests / campaigns)


def _note(bench: Bench, name: str, what: str, took: Drained, campaigns: int) -> None:
    if took.jobs > 4 * campaigns + 10:
        raise BenchmarkFailed(f"{took.jobs} jobs for {campaigns} campaigns with nothing to do: something was due")
    bench.note(name, f"{what}, from start to end", "s", ours=took.seconds)
    bench.note(name, f"{what}, peak load", "requests/s", ours=took.spent.requests / took.seconds)
    bench.note(name, f"{what}, jobs", "per campaign", ours=took.jobs / campaigns)
    bench.note(name, f"{what}, CPU of worker and scheduler", "ms per campaign", ours=took.cpu_s / campaigns * 1000)
    bench.note(name, f"{what}, written", "kB per campaign", ours=took.spent.bytes_written / campaigns / 1000)
    bench.note(name, f"{what}, memory of the worker", "MB", ours=took.rss_mb)
