"""Workers that have claimed a job and do nothing more."""

import django_rq
from django.conf import settings
from django.utils import timezone
from redis import Redis

from jobs.broker import keys
from jobs.engine.worker.worker import Worker
from jobs.ledger import Claimed


def claiming_worker(redis: Redis) -> Worker:
    """A worker whose threads have not been started."""
    return Worker([django_rq.get_queue(name) for name in settings.RQ_QUEUES], connection=redis)


def take(worker: Worker) -> list[str]:
    """Publish the pauses and fetch; the IDs."""
    for _ in range(2):
        worker.cycles.fetch.begin(timezone.now(), idle=worker.concurrency, limit=None)
        worker.cycles.fetch.end()
    return [i for group in worker.cycles.fetch.groups for i in group.ids]


def claims(redis: Redis) -> tuple[Worker, Claimed]:
    """A worker that has claimed a job and whose threads do not run."""
    worker = claiming_worker(redis)
    take(worker)
    worker.cycles.recorder.record_and_claim(timezone.now(), worker.concurrency)
    (group,) = worker.cycles.in_flight
    group.began -= 1
    return worker, next(iter(group.jobs.values()))


def work() -> None:
    """Work in this process until the queues are empty."""
    claiming_worker(keys.redis()).work(burst=True)
