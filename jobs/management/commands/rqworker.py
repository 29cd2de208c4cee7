"""RQ's worker command; without queue names it works all queues, most urgent first."""

import sys
from argparse import ArgumentParser
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandError
from django_rq.management.commands.rqworker import Command as RQWorkerCommand
from django_rq.workers import get_worker_class
from redis import RedisError
from rq import SpawnWorker

from jobs.processes import loop
from jobs.processes.supervisor import Pool
from scheduler_project.text import is_storable

LONGEST_NAME: Final = 64  #: characters: the ledger's column

SERIALIZER: Final = "rq.serializers.JSONSerializer"


class Command(RQWorkerCommand):
    """Runs a worker."""

    help = "Runs a worker: QUEUE_CONCURRENCY jobs at once, all queues in order of priority unless some are named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """RQ's, and ours."""
        super().add_arguments(parser)
        parser.set_defaults(serializer=SERIALIZER)
        parser.add_argument("--processes", type=int, default=1, help="worker processes under this one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped."""
        unknown = sorted(set(args) - set(settings.RQ_QUEUES))
        if unknown:
            raise CommandError(f"there is no queue {', '.join(unknown)}; known: {', '.join(settings.RQ_QUEUES)}")
        name = options.get("name") or ""
        if not is_storable(name) or len(name) > LONGEST_NAME:
            raise CommandError(f"--name: expected at most {LONGEST_NAME} characters in UTF-8, got {name!r}")
        if options["serializer"] != SERIALIZER:
            raise CommandError(f"--serializer: only {SERIALIZER}: whoever can write Redis would run code here")
        if issubclass(get_worker_class(options["worker_class"]), SpawnWorker):
            raise CommandError("--worker-class: its processes run whatever function stands in Redis")
        processes = options.pop("processes")
        if processes < 1:
            raise CommandError(f"--processes: expected 1 or more, got {processes}")
        if processes > 1:
            pool = Pool(_without_processes(sys.argv), processes)
            loop.run(pool, loop.stop_on_signals(), name="worker pool")
            return
        if not (options["burst"] or loop.wait_for_redis(name="worker")):
            return
        loop.freeze_startup_objects()
        try:
            super().handle(*(args or settings.RQ_QUEUES), **options)
        except RedisError as error:  # between its start and its birth; from then on it rides out what becomes of Redis
            raise CommandError(f"Redis does not answer: {error}") from None


def _without_processes(words: list[str]) -> list[str]:
    """The command line of one of the workers."""
    kept, skip = [], False
    for word in words:
        if skip or word.startswith("--processes"):
            skip = word == "--processes"
            continue
        kept.append(word)
    return kept
