from argparse import ArgumentParser
from datetime import timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand
from django.utils import timezone

from jobs.models import AuditEntry, CampaignClock, Job
from jobs.registry import all_types
from jobs.states import ENDED, State

_BATCH: Final = 2000
_SHARES: Final = {
    State.SUCCEEDED: 88,
    State.SKIPPED: 4,
    State.SCHEDULED: 4,
    State.QUEUED: 1,
    State.RETRYING: 1,
    State.DEAD: 1,
    State.CANCELLED: 1,
}
_ERRORS: Final = ("timed out after 10.0 s", "NOT_FOUND: no such settlement", "503 from the main API")
_NAMES: Final = ("Northmarch", "The Sunken Crown", "Ashen Coast", "Vale of Thorns", "Last Lantern")


class Command(BaseCommand):
    # It writes past the ledger, so never where a service runs.
    help = "Fill an empty database with jobs in every state, to see and measure the admin's pages. Not for production."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("count", type=int, help="number of jobs, such as 1000000")

    def handle(self, *args: Any, count: int, **options: Any) -> None:
        """Write the jobs in batches, the same ones every time."""
        random = Random(1)  # noqa: S311 - made-up data
        clocks = [CampaignClock(campaign_id=f"campaign-{n}", name=name) for n, name in enumerate(_NAMES)]
        CampaignClock.objects.bulk_create(clocks, ignore_conflicts=True)
        for start in range(0, count, _BATCH):
            jobs = [_job(random, number, count) for number in range(start, min(start + _BATCH, count))]
            Job.objects.bulk_create(jobs)
            AuditEntry.objects.bulk_create([_entry(job, number) for job in jobs for number in range(1 + job.attempt)])
        self.stdout.write(f"{count} jobs")


def _job(random: Random, number: int, count: int) -> Job:
    """Make job `number` of `count`, created at its share of the last seven days, which its ID encodes, too."""
    now = timezone.now()
    state = random.choices(list(_SHARES), list(_SHARES.values()))[0]
    ago = timedelta(seconds=86400 * 7 * (1 - number / count))
    made = now - ago
    job_id = UUID(int=(int(made.timestamp() * 1000) << 80) | 7 << 76 | 2 << 62 | random.getrandbits(62))  # version 7
    due = now + ago if state in (State.SCHEDULED, State.RETRYING) else now - ago
    name = random.choice(sorted(all_types()))
    failed = state in (State.DEAD, State.RETRYING)
    started = state not in (State.SCHEDULED, State.QUEUED, State.CANCELLED)
    return Job(
        id=job_id,
        type=name,
        campaign_id=f"campaign-{number % 50}",
        subject=f"settlement-{number % 5000}:POPULATION_GROWTH",
        payload={"settlementId": f"settlement-{number % 5000}"},
        unique_key=f"seed-{now.timestamp()}-{number}",
        state=state,
        attempt=int(started),
        failures=int(failed),
        due_at=due,
        created_at=now - ago,
        moved_at=now - ago,
        started_at=now - ago if started else None,
        finished_at=now - ago if state in ENDED else None,
        source=random.choice(("listener", "cron:settlement-growth", "user:ann")),
        error=random.choice(_ERRORS) if failed else "",
        worker="worker-1" if started else "",
        result={"before": {"population": 100}, "after": {"population": 104}} if state is State.SUCCEEDED else None,
    )


def _entry(job: Job, number: int) -> AuditEntry:
    first = number == 0
    return AuditEntry(
        job_id=job.pk,
        at=job.created_at,
        was="" if first else State.RUNNING,
        now=State.QUEUED if first else job.state,
        attempt=number,
        actor=job.source if first else "worker:worker-1",
        reason="submitted" if first else job.error,
        duration_ms=None if first else 12.5,
        error="" if first else job.error,
    )
