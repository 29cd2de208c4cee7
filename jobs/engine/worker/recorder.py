"""What one worker tells the database: which attempts ended, what it claims, and that it still holds its jobs."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from redis import Redis, RedisError

from jobs import actor as actors
from jobs.broker import enqueue
from jobs.engine.worker import attempt, rq_mirror
from jobs.engine.worker.fetch import Fetch
from jobs.engine.worker.in_flight import Group, InFlight
from jobs.engine.worker.rq_mirror import FetchedGroup, RQMirror
from jobs.ledger import Claimed, Ending, moves
from jobs.ledger.recording import Later
from jobs.registry import readable_versions
from jobs.states import WAITING, State

log = structlog.get_logger(__name__)
AWAY: Final = (RedisError, OperationalError, InterfaceError)
"""Errors of an outage: the same call may succeed later."""


class Recorder:
    """Call it within a cycle's lock only. Claimed jobs are put in flight and passed to `submit`, with their rank."""

    def __init__(
        self,
        worker: str,
        mirror: RQMirror,
        connection: Redis,
        in_flight: InFlight,
        fetch: Fetch,
        submit: Callable[[Group, int], None],
    ) -> None:
        self.recorded = 0  #: finished attempts
        self.unacknowledged: tuple[list[FetchedGroup], datetime] | None = None  #: a claim whose commit got no answer
        self.later = Later()  #: what is to be said about the last moves, at the latest when no cycle follows at once
        self._worker = worker
        self._actor = actors.worker(worker)
        self._mirror = mirror
        self._connection = connection
        self._in_flight = in_flight
        self._fetch = fetch
        self._submit = submit
        self._unrecorded: list[tuple[Ending, bool]] = []  # and whether RQ's tools list the attempt as started
        self._renew_at = 0.0

    @property
    def pending(self) -> int:
        """How many ended attempts are not recorded yet."""
        return len(self._unrecorded)

    def add(self, ending: Ending, *, shown: bool) -> None:
        """Have the next cycle record the end of an attempt; `shown`: RQ's tools list it as started."""
        self._unrecorded.append((ending, shown))

    def record_and_claim(self, now: datetime, most: int) -> tuple[int, int]:
        """Record all ends and claim at most `most` fetched groups, in one transaction. Returns how many of each."""
        most -= self._resume_unacknowledged_claim(now)
        groups = self._fetch.groups[: max(0, most)]
        ids = [i for group in groups for i in group.ids]
        start = partial(self._start, groups)
        self.unacknowledged = (groups, now) if groups else None
        endings = [ending for ending, _ in self._unrecorded]
        ended, claimed = moves.cycle(
            endings,
            ids,
            actor=self._actor,
            worker=self._worker,
            now=now,
            start=start,
            reads=readable_versions(),
            later=self.later,
        )
        self._fetch.note_claimed(groups)
        shown = {id(ending.job): is_shown for ending, is_shown in self._unrecorded}
        self._unrecorded = []
        self.recorded += len(ended)
        for e in ended:
            self._mirror.note_ended(e, shown=shown.pop(id(e.job)))
        # From here on Redis may be down: claimed jobs already run, and the rescuer repairs the rest.
        if left := set(ids) - {job.id for job in claimed}:
            rq_mirror.give_back(left, self._connection)
        enqueue.enqueue([e.job for e in ended if e.job.state in (*WAITING, State.QUEUED)])
        if shown:
            rq_mirror.resync([e.job for e in endings if id(e.job) in shown], self._connection)
        return len(ended), len(ids)

    def record_one_by_one(self) -> None:
        """Record each end on its own; if the database rejects one, record it without its texts and result.

        Otherwise one bad job would keep all others of the transaction from being recorded.
        """
        self.later.run()
        ended = list(self._record_each(timezone.now()))
        enqueue.enqueue_after_commit([e.job for e in ended])

    def _record_each(self, now: datetime) -> Iterator[Ending]:
        """Yield the ends that were recorded, until the database is away."""
        for ending, shown in list(self._unrecorded):
            try:
                try:
                    ended = self._record([ending], now)
                except AWAY:
                    return
                except Exception:  # whatever the database says of a text: the end itself must not be lost
                    log.exception(
                        "worker.ending_rejected", job_id=str(ending.job.id), next="it is recorded without its texts"
                    )
                    ended = self._record([ending.bare()], now)
            except AWAY:
                return
            except Exception:  # one end that cannot be recorded must not keep the others from it
                log.exception("worker.ending_discarded", job_id=str(ending.job.id), next="its lease expires")
                ended = []
            del self._unrecorded[0]
            self.recorded += len(ended)
            for e in ended:
                self._mirror.note_ended(e, shown=shown)
            yield from ended

    def renew_leases(self, now: datetime) -> None:
        """Renew all leases every third of their duration, with or without Redis.

        After a failure the next cycle tries again, so that no lease expires because of one short database outage.
        """
        if (ticks := time.monotonic()) < self._renew_at:
            return
        held = [job.id for job in self._in_flight.jobs()] + [str(ending.job.id) for ending, _ in self._unrecorded]
        if held:
            moves.renew_leases(held, worker=self._worker, until=now + settings.LEASE)
        self._renew_at = ticks + settings.LEASE.total_seconds() / 3

    def _record(self, endings: list[Ending], now: datetime) -> list[Ending]:
        return moves.cycle(endings, [], actor=self._actor, worker=self._worker, now=now)[0]

    def _resume_unacknowledged_claim(self, now: datetime) -> int:
        """Start the jobs of the last claim if it was committed but its acknowledgement lost. Returns how many groups.

        Nobody else would start them: the rows belong to this worker until their leases expire, and then their outcome
        would count as unknown.
        """
        if self.unacknowledged is None:
            return 0
        groups, at = self.unacknowledged
        ids = [i for group in groups for i in group.ids]
        claimed = attempt.find_claimed(at, ids, worker=self._worker, until=now + settings.LEASE)
        self._start(groups, claimed)
        if claimed:
            log.warning("worker.commit_ack_lost", worker=self._worker, jobs=len(claimed), next="they are started")
        begun = {job.id for job in claimed}
        return sum(not begun.isdisjoint(group.ids) for group in groups)

    def _start(self, groups: list[FetchedGroup], claimed: list[Claimed]) -> None:
        """Hand the claimed jobs of each group to the threads."""
        self.unacknowledged = None
        by_id = {job.id: job for job in claimed}
        for group in groups:
            # pop: an ID that was enqueued twice is still one job.
            jobs = [job for i in group.ids if (job := by_id.pop(i, None))]
            if jobs:
                self._submit(self._in_flight.add(jobs), group.rank)
