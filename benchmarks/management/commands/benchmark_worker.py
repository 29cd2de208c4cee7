from typing import Any

import benchmarks.job_types  # noqa: F401 - declares them
from jobs.management.commands.rqworker import Command as WorkerCommand


class Command(WorkerCommand):
    help = "Run a worker that knows the benchmarks' job types; `benchmark` and `load_test` start it."

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
