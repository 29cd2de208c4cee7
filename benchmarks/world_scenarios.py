"""Scenarios on the sandbox's world: a world-time advance, event expiration, and operations per second."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from benchmarks import api_load
from benchmarks.bench import Bench
from benchmarks.drained import BenchmarkFailed, Drained
from benchmarks.our_side import refuse_failures, wait_for
from benchmarks.sampler import Sampler
from jobs import service
from jobs.errors import JobError
from jobs.main_api.client import main_api
from jobs.main_api.model import Settlement
from jobs.models import Job
from jobs.service import Submission
from jobs.states import State
from jobs.world.clock import WorldTime
from jobs.world.entity import Entity
from jobs.world.growth import GrowthType
from jobs.world.household import Household, advance
from jobs.world.maintenance import StructureEvent

CAMPAIGN = "campaign-1"
LATENCY_MS = 5
UNDER_WAY = [State.SCHEDULED.value, State.QUEUED.value, State.RUNNING.value, State.RETRYING.value]
RECALCULATIONS = ("RECALCULATE_SETTLEMENT_SCHEDULES", "RECALCULATE_STRUCTURE_SCHEDULES")
YEAR = timedelta(days=365)
START = datetime(1372, 1, 16, 6, tzinfo=UTC)
ADVANCE_MINUTES = 1500  # more than every interval of the sandbox's world
CLIENT_THREADS = 5


def world_advance(bench: Bench) -> None:
    """Advance world time so that 1,000 settlements with 5 structures each are all due."""
    name = "world-advance"
    _campaign(bench)
    bench.ours.clear()
    work_off(bench, [(kind, CAMPAIGN) for kind in RECALCULATIONS])
    bench.control("POST", "advance", {"campaignId": CAMPAIGN, "minutes": ADVANCE_MINUTES})
    bench.control("POST", "faults", {"latencyMs": LATENCY_MS})
    took = work_off(bench, [(kind, CAMPAIGN) for kind in RECALCULATIONS])
    _check_applied(bench)
    events = list(Job.objects.exclude(type__in=RECALCULATIONS).values_list("payload", "clock_due"))
    bench.note(name, "entity events", "", ours=len(events))
    _note(bench, name, ours=took)
    if bench.peer:
        _campaign(bench)
        bench.peer.clear()
        bench.peer.submit_jobs(sorted((_event(*e) for e in events), key=lambda job: str(job["data"]["event"])))
        bench.control("POST", "faults", {"latencyMs": LATENCY_MS})
        drained = bench.peer.work(len(events), concurrency=5)
        bench.note(name, "entity events", "", peer=drained.count)
        _note(bench, name, peer=drained)
    bench.control("DELETE", "faults")


def world_year(bench: Bench) -> None:
    """Advance the same world by 365 days at once."""
    name = "world-year"
    _campaign(bench)
    bench.ours.clear()
    work_off(bench, [(kind, CAMPAIGN) for kind in RECALCULATIONS])
    bench.control("POST", "advance", {"campaignId": CAMPAIGN, "minutes": YEAR // timedelta(minutes=1)})
    bench.control("POST", "faults", {"latencyMs": LATENCY_MS})
    took = work_off(bench, [(kind, CAMPAIGN) for kind in RECALCULATIONS])
    _check_applied(bench)
    bench.note(name, "entity events", "", ours=Job.objects.exclude(type__in=RECALCULATIONS).count())
    _note(bench, name, ours=took)
    bench.control("DELETE", "faults")


def simulation(bench: Bench) -> None:
    """Calculate a year of settlements with 5 structures, without a database or a main API."""
    count, occurrences = bench.sized(200), 0
    began = time.process_time()
    for _ in range(count):
        town, buildings = advance(_household(), WorldTime(START + YEAR))
        for after in (town, *buildings.values()):
            occurrences += sum(one.count for one in after.occurred.values()) if after else 0
    bench.note("simulation", "occurrences", "per second of CPU", ours=occurrences / (time.process_time() - began))


def _household() -> Household[WorldTime]:
    def entity(entity_id: str, events: Iterable[str], variables: dict[str, Any], kind: str = "") -> Entity[WorldTime]:
        anchors = dict.fromkeys(events, WorldTime(START))
        return Entity(id=entity_id, level=1, variables=variables, anchors=anchors, type=kind)

    structures = {f"b-{n}": entity(f"b-{n}", StructureEvent, {"health": 100}, "market") for n in range(5)}
    town = entity("s", GrowthType, {"population": 100, "populationCap": 100_000})
    return Household(settlement=town, structures=structures)


def expiration(bench: Bench) -> None:
    """Expire 50 overdue events in each of 100 campaigns, with one job per campaign."""
    name, campaigns = "event-expiration", bench.sized(100)
    campaign_ids = [f"campaign-{n}" for n in range(1, campaigns + 1)]
    _overdue(bench, campaign_ids)
    bench.ours.clear()
    _note(bench, name, ours=work_off(bench, [("EVENT_EXPIRATION", campaign_id) for campaign_id in campaign_ids]))
    check_expired(campaign_ids)
    if bench.peer:
        _overdue(bench, campaign_ids)
        bench.peer.clear()
        bench.peer.submit_jobs([{"data": {"kind": "expire", "campaignId": c}} for c in campaign_ids])
        _note(bench, name, peer=bench.peer.work(campaigns, concurrency=5))
        check_expired(campaign_ids)
    bench.control("DELETE", "faults")


def operations(bench: Bench) -> None:
    """Measure the sandbox on one core, and our main API client in one process."""
    count = bench.sized(10_000)
    bench.control("POST", "reset", {"campaigns": 3, "kingdoms": 2, "settlements": 3, "structures": 3})
    for what, body in (("query", api_load.read_body), ("mutation", api_load.write_body)):
        rate = api_load.operations_per_second(settings.API_URL, settings.API_SERVICE_ACCOUNT_TOKEN, body, count=count)
        bench.note(f"sandbox, {api_load.CONNECTIONS} connections", what, "operations/s", ours=rate)
    bench.note(f"main API client, {CLIENT_THREADS} threads", "query", "operations/s", ours=_client_rate(count))


def _client_rate(count: int) -> float:
    api = main_api()
    one = ["settlement-1-1-1"]
    api.settlements(one)
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENT_THREADS) as threads:
        found = list(threads.map(lambda _: api.settlements(one)[one[0]], range(count)))
    seconds = time.perf_counter() - began
    if not all(isinstance(settlement, Settlement) for settlement in found):
        raise BenchmarkFailed("the client did not find the settlement")
    return count / seconds


def _campaign(bench: Bench) -> None:
    size = {
        "campaigns": 1,
        "kingdoms": 10,
        "settlements": _settlements(bench),
        "structures": 5,
        "events": 0,
        "effects": 0,
    }
    bench.control("POST", "reset", size)


def _settlements(bench: Bench) -> int:
    """Of each of 10 kingdoms."""
    return max(1, bench.sized(1000) // 10)


def _overdue(bench: Bench, campaign_ids: list[str]) -> None:
    size = {
        "campaigns": len(campaign_ids),
        "kingdoms": 0,
        "settlements": 0,
        "structures": 0,
        "events": 50,
        "effects": 0,
    }
    bench.control("POST", "reset", size)
    for campaign_id in campaign_ids:
        bench.control("POST", "advance", {"campaignId": campaign_id, "to": "3000-01-01T00:00:00Z"})
    bench.control("POST", "faults", {"latencyMs": LATENCY_MS})


def _note(bench: Bench, name: str, *, ours: Drained | None = None, peer: Drained | None = None) -> None:
    for side, drained in (("ours", ours), ("peer", peer)):
        if drained is not None:
            bench.note(name, "wall time", "s", **{side: drained.seconds})
            bench.note(name, "all HTTP requests", "", **{side: drained.spent.requests})
            bench.note_cost(name, side, drained)


def _check_applied(bench: Bench) -> None:
    """Raise BenchmarkFailed unless each settlement and structure was written."""
    jobs = Job.objects.exclude(type__in=RECALCULATIONS).filter(state=State.SUCCEEDED.value)
    written = {
        payload.get("settlementId") or payload["structureId"]
        for payload, result in jobs.values_list("payload", "result")
        if (result or {}).get("version")
    }
    expected = _settlements(bench) * 10 * 6
    if len(written) != expected:
        raise BenchmarkFailed(f"{len(written)} of {expected} settlements and structures were written")


def check_expired(campaign_ids: list[str]) -> None:
    """Raise BenchmarkFailed if an event is still overdue."""
    for campaign_id, found in main_api().overdue_events(campaign_ids).items():
        if isinstance(found, JobError) or found:
            raise BenchmarkFailed(f"events of {campaign_id} were not expired: {found}")


def work_off(bench: Bench, wanted: list[tuple[str, str]]) -> Drained:
    """Submit jobs and work until none is left; measured from the first start to the last end."""
    submissions = [Submission(type=kind, campaign_id=campaign, payload={}) for kind, campaign in wanted]
    jobs = [job for job, _ in service.submit_many(submissions, actor="benchmark")]
    with (
        bench.ours.servers.measured() as spent,
        bench.ours.process("rqscheduler", concurrency=5) as scheduler,
        bench.ours.process("benchmark_worker", concurrency=5) as worker,
    ):
        samplers = [Sampler([process.pid]).start() for process in (worker, scheduler)]
        wait_for(_idle, worker, scheduler)
        for sampler in samplers:
            sampler.stop()
    if connection.vendor == "sqlite":
        spent.bytes_written += sum(sampler.written for sampler in samplers)
    ours = Job.objects.filter(created_at__gte=jobs[0].created_at)
    bad = ours.exclude(state__in=[State.SUCCEEDED.value, State.SKIPPED.value]).first()
    if bad:
        raise BenchmarkFailed(f"{bad} is {bad.state}: {bad.error}")
    first = min(t for t in ours.values_list("started_at", flat=True) if t)
    last = max(t for t in ours.values_list("finished_at", flat=True) if t)
    return Drained(
        count=ours.count(),
        seconds=(last - first).total_seconds(),
        cpu_s=sum(sampler.cpu_s(first.timestamp(), last.timestamp()) for sampler in samplers),
        rss_mb=max(sampler.rss_mb() for sampler in samplers),
        failures=0,
        jobs=ours.count(),
        spent=spent,
    )


def _idle() -> bool:
    refuse_failures()
    return not Job.objects.filter(state__in=UNDER_WAY).exists()


def _event(payload: dict[str, Any], clock_due: str) -> dict[str, Any]:
    entity = "Settlement" if "settlementId" in payload else "Structure"
    data = {
        "kind": "event",
        "entity": entity,
        "id": payload.get("settlementId") or payload["structureId"],
        "event": payload.get("growthType") or payload["eventType"],
        "due": clock_due,
        "branch": f"{CAMPAIGN}-main",
    }
    return {"data": data}
