"""manage.py rqworker: RQ's command; without queue names it works on all queues, most urgent first."""

import sys
from argparse import ArgumentParser
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandError
from django_rq.management.commands.rqworker import Command as RQWorkerCommand
from django_rq.workers import get_worker_class
from redis import RedisError
from rq import SpawnWorker

from jobs.processes import database_checks, loop
from jobs.processes.supervisor import WATCHDOG_AFTER, Pool
from scheduler_project.text import fits_postgresql

LONGEST_NAME: Final = 64  #: characters: the ledger's column

SERIALIZER: Final = "rq.serializers.JSONSerializer"


class Command(RQWorkerCommand):
    requires_system_checks = ("jobs",)  # the others are about code, not about the environment
    help = "Run a worker: QUEUE_CONCURRENCY jobs at once, from all queues by priority unless some are named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add --processes to RQ's own options."""
        super().add_arguments(parser)
        parser.set_defaults(serializer=SERIALIZER)
        parser.add_argument("--processes", type=int, default=1, help="number of worker processes")

    def handle(self, *args: Any, **options: Any) -> None:
        unknown = sorted(set(args) - set(settings.RQ_QUEUES))
        if unknown:
            raise CommandError(f"unknown queue: {', '.join(unknown)}; known: {', '.join(settings.RQ_QUEUES)}")
        name = options.get("name") or ""
        if not fits_postgresql(name) or len(name) > LONGEST_NAME:
            raise CommandError(f"--name must be at most {LONGEST_NAME} characters of valid UTF-8, got {name!r}")
        if options["serializer"] != SERIALIZER:
            raise CommandError(f"--serializer must be {SERIALIZER}: others let anyone who can write to Redis run code")
        if issubclass(get_worker_class(options["worker_class"]), SpawnWorker):
            raise CommandError("--worker-class must not be a SpawnWorker: it runs any function named in Redis")
        processes = options.pop("processes")
        if processes < 1:
            raise CommandError(f"--processes must be 1 or more, got {processes}")
        database_checks.check_database(processes=processes)
        if processes > 1:
            pool = Pool(_without_processes(sys.argv), processes)
            loop.run(pool, loop.stop_on_signals(margin_s=WATCHDOG_AFTER), name="worker pool")
            return
        if not (options["burst"] or loop.wait_for_redis(name="worker")):
            return
        loop.freeze_startup_objects()
        try:
            super().handle(*(args or settings.RQ_QUEUES), **options)
        except RedisError as error:  # before the worker has registered; later it survives any outage
            raise CommandError(f"Redis does not answer: {error}") from None


def _without_processes(arguments: list[str]) -> list[str]:
    """The command line of a single worker process."""
    kept, skip = [], False
    for argument in arguments:
        if skip or argument.startswith("--processes"):
            skip = argument == "--processes"
            continue
        kept.append(argument)
    return kept
