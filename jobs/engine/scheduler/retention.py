"""Retention: has old jobs deleted, trims Redis by count, and folds outcomes into coarser rows."""

from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Q, QuerySet, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone
from django_rq import get_queue
from redis import Redis, RedisError
from rq.registry import clean_registries
from rq.worker_registration import clean_worker_registry

from jobs.broker import enqueue
from jobs.broker.mend import mend
from jobs.cron import firing
from jobs.engine.scheduler.purge import Purge
from jobs.engine.scheduler.sweep import BATCH
from jobs.engine.worker import rq_mirror
from jobs.histogram import COLUMNS
from jobs.ledger import Outcomes, statements
from jobs.models import FailureHour, OutcomeMinute

log = structlog.get_logger(__name__)
EVERY: Final = timedelta(minutes=5)
BY_MINUTE: Final = timedelta(hours=7)  #: outcomes are kept per minute for six-hour graphs,
BY_QUARTER: Final = timedelta(hours=26)  #: per quarter-hour for one-day graphs,
BY_HOUR: Final = timedelta(days=8)  #: per hour for one-week graphs; older ones as totals only
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.get_default_timezone())


class Retention:
    """Cleans up at most once per EVERY."""

    def __init__(self, connection: Redis, purge: Purge | None = None) -> None:
        self._connection = connection
        self._cleaned_at: datetime | None = None
        self._purge = purge or Purge()

    def poll(self, now: datetime) -> None:
        """Clean up if it is time, or if the clock was set back. Raises redis.RedisError and database errors."""
        if self._cleaned_at is None or abs(now - self._cleaned_at) > EVERY:
            self._purge.start(now - settings.RETENTION)  # first: an error that lasts must not let old jobs pile up
            self.clean_up(now)
            self._cleaned_at = now

    def clean_up(self, now: datetime) -> None:
        """Trim and fold all but what the purge deletes, which takes as long as there are old jobs."""
        mend(self._connection, thorough=True)
        fold_outcomes(now)
        firing.trim_history()
        firing.count_anew(now)
        FailureHour.objects.filter(hour__lt=now - settings.RETENTION).delete()
        for queue in settings.QUEUE_NAMES:
            rq_mirror.trim(queue, self._connection)
            rq_mirror.forget_gone(queue, self._connection)
            enqueue.recount(queue)
        for queue in settings.RQ_QUEUES:
            self._clean_up_as_rq(queue)

    def _clean_up_as_rq(self, name: str) -> None:
        """Do what RQ's own workers do every few minutes: fail plain RQ jobs of lost workers, and remove expired
        results and workers.
        """
        queue = get_queue(name, connection=self._connection)
        if not queue.acquire_maintenance_lock():
            return
        try:
            clean_registries(queue)
            clean_worker_registry(queue)
        except RedisError:
            raise
        except Exception:  # plain RQ jobs can hold anything
            log.exception("retention.registry_cleanup_failed", queue=name)
        queue.release_maintenance_lock()


def fold_outcomes(now: datetime) -> None:
    """Fold older outcomes into coarser rows: per quarter-hour, per hour, and one row for all older ones.

    Totals stay correct, the table stays small, and a one-week graph reads few rows.
    """
    _fold(OutcomeMinute.objects.filter(minute__gt=_EPOCH, minute__lt=now - BY_HOUR), _EPOCH)
    for since, until, minutes in ((BY_HOUR, BY_QUARTER, 60), (BY_QUARTER, BY_MINUTE, 15)):
        rows = OutcomeMinute.objects.filter(minute__gte=now - since, minute__lt=now - until)
        fine = rows.filter(Q(shard__gt=0) | ~Q(minute__minute__in=range(0, 60, minutes)))
        for hour in fine.annotate(hour=TruncHour("minute")).values_list("hour", flat=True).distinct().order_by("hour"):
            for start in range(0, 60, minutes):
                into = hour + timedelta(minutes=start)
                _fold(fine.filter(minute__gte=into, minute__lt=into + timedelta(minutes=minutes)), into)


@transaction.atomic
def _fold(old: QuerySet[OutcomeMinute], into: datetime) -> None:
    """Add `old` to the row `into` of its type and outcome, and delete it."""
    sums: Any = old.values("type", "outcome").annotate(
        n=Sum("jobs"),
        run=Sum("run_ms"),
        run_max=Max("run_ms_max"),
        wait=Sum("wait_ms"),
        wait_max=Max("wait_ms_max"),
        **{column: Sum(column) for column in COLUMNS},
    )
    rows = [
        Outcomes(
            minute=into,
            type=s["type"],
            outcome=s["outcome"],
            shard=0,
            jobs=s["n"],
            run_ms=s["run"],
            run_ms_max=s["run_max"],
            wait_ms=s["wait"],
            wait_ms_max=s["wait_max"],
            waited=tuple(s[column] for column in COLUMNS),
        )
        for s in sums
    ]
    if rows:
        ids = list(old.values_list("id", flat=True))
        with connection.wrap_database_errors:
            statements().count(rows)
        for start in range(0, len(ids), BATCH):
            OutcomeMinute.objects.filter(id__in=ids[start : start + BATCH]).delete()
