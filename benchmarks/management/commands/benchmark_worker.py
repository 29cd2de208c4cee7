import os
from typing import Any

import benchmarks.job_types  # noqa: F401 - declares them
from benchmarks import fixed_gate
from jobs.management.commands.rqworker import Command as WorkerCommand


class Command(WorkerCommand):
    help = "Run a worker that knows the benchmarks' job types; `benchmark` and `load_test` start it."

    def handle(self, *args: Any, **options: Any) -> None:
        """With BENCHMARK_FIXED_GATE, that many requests to the main API are in flight, in place of the gate."""
        if most := os.environ.get("BENCHMARK_FIXED_GATE"):
            fixed_gate.install(int(most))
        super().handle(*args, **options)
