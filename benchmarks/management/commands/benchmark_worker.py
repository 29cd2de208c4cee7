"""The service's worker, knowing the job types of benchmarks too."""

from typing import Any

import benchmarks.job_types  # noqa: F401 - declares them
from jobs.management.commands.rqworker import Command as WorkerCommand


class Command(WorkerCommand):
    """Runs a worker for a benchmark."""

    help = "Runs the worker for `manage.py benchmark` and `load_test`, which start it themselves."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped."""
        super().handle(*args, **options)
