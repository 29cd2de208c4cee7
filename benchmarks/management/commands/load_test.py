"""The predecessor's load test: submits no-op jobs of many campaigns and drains them with a real worker."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from benchmarks.drained import BenchmarkFailed
from benchmarks.our_side import ACTOR, Ours, count_ended, result_of, wait_for
from benchmarks.sampler import Sampler
from benchmarks.spent import Servers, Spent
from benchmarks.world import running_world
from sandbox.up import CannotStart

BAR = 40
INSIDE = "BENCHMARK_FOLDER"  # set by running_world for the measuring process


class Command(BaseCommand):
    help = "Submit jobs, drain them with one worker and print figures, with a temporary Redis and database."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("numJobs", nargs="?", type=int, default=100, help="default: 100")
        parser.add_argument("numCampaigns", nargs="?", type=int, default=5, help="default: 5")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start Redis and database, and run in a child process with their settings."""
        if options["numJobs"] < 1 or options["numCampaigns"] < 1:
            raise CommandError("numJobs and numCampaigns: expected 1 or more")
        try:
            if os.environ.get(INSIDE):
                self._run(options["numJobs"], options["numCampaigns"])
                return
            with running_world("sqlite") as environment:
                command = [sys.executable, *sys.argv]  # the same again, in that world
                code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - our own arguments
        except (BenchmarkFailed, CannotStart) as failed:
            raise CommandError(str(failed)) from None
        if code:
            raise CommandError(f"the load test exited ({code}); see above")

    def _run(self, jobs: int, campaigns: int) -> None:
        from benchmarks.job_types import NOOP  # declares the types

        ours = Ours(Path(os.environ[INSIDE]), Servers(settings.REDIS_URL, settings.API_URL))
        submitting = ours.submit(jobs, NOOP, {}, campaigns=campaigns).seconds
        self.stdout.write(
            f"{jobs:,} jobs of {campaigns:,} campaigns submitted by {ACTOR}: {jobs / submitting:,.0f} jobs/s"
        )

        def drained() -> bool:
            done = count_ended()
            filled = BAR * done // jobs
            self.stdout.write(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {done:,} of {jobs:,}", ending="")
            self.stdout.flush()
            return done == jobs

        with ours.process("benchmark_worker", concurrency=settings.QUEUE_CONCURRENCY) as worker:
            sampler = Sampler([worker.pid]).start()
            wait_for(drained, worker)
            sampler.stop()
        result = result_of(jobs, 0, sampler, Spent())
        self.stdout.write(
            f"\ndrained in {result.seconds:.2f} s: {result.rate:,.0f} jobs/s at concurrency "
            f"{settings.QUEUE_CONCURRENCY}"
        )
        self.stdout.write(f"worker: {result.cpu_s_per_1000:.2f} CPU s per 1,000 jobs, {result.rss_mb:.0f} MB")
        self.stdout.write(f"failed attempts: {result.failures}")
