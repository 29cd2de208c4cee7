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
from jobs.ledger.recording import CommittedCycle, Later
from jobs.registry import readable_versions
from jobs.states import WAITING, State

log = structlog.get_logger(__name__)
AWAY: Final = (RedisError, OperationalError, InterfaceError)
"""Errors of an outage: the same call may succeed later."""
_Unrecorded = tuple[Ending, bool]  # an end, and whether RQ's tools list the attempt as started


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
        self.unacknowledged: dict[datetime, list[FetchedGroup]] = {}  #: claims whose answer was lost, by their time
        self.later = Later()  #: what is left to do about the last moves, at the latest when no cycle follows at once
        self._worker = worker
        self._actor = actors.worker(worker)
        self._mirror = mirror
        self._connection = connection
        self._in_flight = in_flight
        self._fetch = fetch
        self._submit = submit
        self._unrecorded: list[_Unrecorded] = []
        self._renew_at = 0.0

    @property
    def pending(self) -> int:
        """How many ended attempts are not recorded yet."""
        return len(self._unrecorded)

    def add(self, ending: Ending, *, shown: bool) -> None:
        """Have the next cycle record the end of an attempt; `shown`: RQ's tools list it as started."""
        self._unrecorded.append((ending, shown))

    def record_and_claim(self, now: datetime, most: int, *, may_wait: bool = False) -> tuple[int, int]:
        """Record all ends and claim at most `most` fetched groups, in one transaction. Returns how many of each.

        With `may_wait`, the answer about many may be left to `later`, which reads it and starts the claimed jobs while
        the database works on the next cycle. Until then, or until `settle`, they are only counted as in flight.
        """
        most -= self._resume_unacknowledged_claims(now)
        groups = self._fetch.groups[: max(0, most)]
        ids = [i for group in groups for i in group.ids]
        if groups:
            self.unacknowledged[now] = groups
        unrecorded = self._unrecorded
        committed = moves.commit_cycle(
            [ending for ending, _ in unrecorded],
            ids,
            actor=self._actor,
            worker=self._worker,
            now=now,
            reads=readable_versions(),
            later=self.later,
        )
        self.unacknowledged.pop(now, None)
        self._unrecorded = []
        self._fetch.note_claimed(groups)
        finish = partial(self._finish, committed, groups, now, unrecorded)
        if may_wait and committed.can_wait:
            self._in_flight.coming = len(groups)
            self.later.add(finish)
        else:
            finish()
        return len(unrecorded), len(ids)

    def _finish(
        self,
        committed: CommittedCycle,
        groups: list[FetchedGroup],
        now: datetime,
        unrecorded: list[_Unrecorded],
    ) -> None:
        """Start what was claimed, and tell Redis what has become of the rest and of the ends.

        If the cycle can wait, there is no rest, and all has ended: the database, which works on the next one, is not
        used.
        """
        self._in_flight.coming = 0
        try:
            ended, claimed = committed.moved
        except Exception:  # whatever is in the rows: the jobs must not wait for their leases to expire
            self.unacknowledged[now] = groups
            raise
        self._start(groups, claimed)
        if committed.can_wait:
            self.later.add(committed.announce)
        else:
            committed.announce()
        shown = {id(ending.job): is_shown for ending, is_shown in unrecorded}
        self.recorded += len(ended)
        for e in ended:
            self._mirror.note_ended(e, shown=shown.pop(id(e.job)))
        # From here on Redis may be down: claimed jobs already run, and the rescuer repairs the rest.
        if left := {i for group in groups for i in group.ids} - {job.id for job in claimed}:
            rq_mirror.give_back(left, self._connection)
        enqueue.enqueue([e.job for e in ended if e.job.state in (*WAITING, State.QUEUED)])
        if shown:
            rq_mirror.resync([e.job for e, _ in unrecorded if id(e.job) in shown], self._connection)

    def settle(self) -> None:
        """Put in flight what the last cycle claimed, if it was left to the next one."""
        if self._in_flight.coming:
            self.later.run()

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
        self.settle()
        held = [job.id for job in self._in_flight.jobs()] + [str(ending.job.id) for ending, _ in self._unrecorded]
        if held:
            moves.renew_leases(held, worker=self._worker, until=now + settings.LEASE)
        self._renew_at = ticks + settings.LEASE.total_seconds() / 3

    def _record(self, endings: list[Ending], now: datetime) -> list[Ending]:
        return moves.cycle(endings, [], actor=self._actor, worker=self._worker, now=now)[0]

    def _resume_unacknowledged_claims(self, now: datetime) -> int:
        """Start the jobs of claims that were committed but their acknowledgement lost. Returns how many groups.

        Nobody else would start them: the rows belong to this worker until their leases expire, and then their outcome
        would count as unknown.
        """
        resumed = 0
        for at, groups in list(self.unacknowledged.items()):
            ids = [i for group in groups for i in group.ids]
            claimed = attempt.find_claimed(at, ids, worker=self._worker, until=now + settings.LEASE)
            del self.unacknowledged[at]
            self._start(groups, claimed)
            if claimed:
                log.warning("worker.commit_ack_lost", worker=self._worker, jobs=len(claimed), next="they are started")
            begun = {job.id for job in claimed}
            resumed += sum(not begun.isdisjoint(group.ids) for group in groups)
        return resumed

    def _start(self, groups: list[FetchedGroup], claimed: list[Claimed]) -> None:
        """Hand the claimed jobs of each group to the threads."""
        by_id = {job.id: job for job in claimed}
        for group in groups:
            # pop: an ID that was enqueued twice is still one job.
            jobs = [job for i in group.ids if (job := by_id.pop(i, None))]
            if jobs:
                self._submit(self._in_flight.add(jobs), group.rank)
