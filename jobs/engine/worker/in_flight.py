"""The jobs in flight: groups of claimed jobs, one per handler thread, and the average duration of each type."""

import math
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from jobs import overrides
from jobs.engine.worker import attempt
from jobs.ledger import Claimed, Ending
from jobs.policies import time_limit_of
from jobs.registry import all_types
from jobs.states import State

FAST_MS: Final = 2.0  #: a type whose handler takes less on average is fast: one thread gets several of its jobs
FAST_GROUP_MS: Final = 16.0  #: a thread gets as many as take this; a more urgent job waits for one such group at most
MOST_FAST: Final = 64
BEGIN_WITHIN_S: Final = 1.0  #: of a group's first job; the rest is handed back: the type has become slow
WAIT_FOR_THREAD_S: Final = 1.0  #: then a group is handed back
SHORT_MS: Final = 250.0  #: a type whose handler takes less on average is short: its jobs may be claimed ahead
AHEAD_MS: Final = 80.0  #: as many are claimed ahead as all threads finish in this time
MOST_AHEAD: Final = 4  #: groups per thread
_NEWEST_WEIGHT: Final = 0.1  # in the moving average


class Group:
    """Claimed jobs that one thread runs: a batch of one type and campaign, or several jobs of a fast type in turn.

    A batch begins as a whole; each job of a fast type begins by itself, with a time limit of its own. What has not
    begun can be withdrawn: a group that was claimed ahead waits for a thread.
    """

    __slots__ = (
        "_begins_until",
        "_begun",
        "_is_batch",
        "_lock",
        "_waiting",
        "began",
        "deadline",
        "fresh",
        "jobs",
        "limit_s",
        "mirrored",
        "type",
    )

    def __init__(self, jobs: list[Claimed], limit_s: float, *, is_batch: bool = False) -> None:
        self.began = time.monotonic()  #: when what runs now began; until it begins, when it was claimed
        self.limit_s = limit_s
        self.deadline = math.inf  #: of what runs now
        self.jobs = {job.id: job for job in jobs}  #: those that have not ended, in order
        self.mirrored = False  #: RQ's tools list them as started
        self.fresh = False  #: and that entry does not expire soon
        self.type = jobs[0].type
        self._is_batch = is_batch
        self._waiting = dict(self.jobs)  # those that have not begun
        self._begun: list[Claimed] = []  # together, last
        self._begins_until = math.inf
        self._lock = threading.Lock()

    def begin(self) -> list[Claimed]:
        """Begin all jobs of a batch, else the next one, and their time limit. Returns none if it is too late."""
        with self._lock:
            if not self._waiting or time.monotonic() >= self._begins_until:
                return []
            first = next(iter(self._waiting))
            self._begun = list(self._waiting.values()) if self._is_batch else [self._waiting[first]]
            for job in self._begun:
                del self._waiting[job.id]
            self.began = time.monotonic()
            self.deadline = self.began + self.limit_s
            self._begins_until = min(self._begins_until, self.began + BEGIN_WITHIN_S)
            return self._begun

    @property
    def running(self) -> list[Claimed]:
        """The jobs that have begun and not ended."""
        with self._lock:
            return [job for job in self._begun if job.id in self.jobs]

    def withdraw(self, job_id: str) -> bool:
        """Keep a job from beginning. Returns False if it has begun."""
        with self._lock:
            return self._waiting.pop(job_id, None) is not None

    def withdraw_rest(self) -> list[Claimed]:
        """Keep the jobs that have not begun from beginning, and return them."""
        with self._lock:
            rest = list(self._waiting.values())
            self._waiting = {}
            return rest

    def waits_too_long(self, now: float) -> str:
        """Why jobs of this group that have not begun should be handed back; empty if they need not."""
        with self._lock:
            if not self._waiting:
                return ""
            if not self._begun:
                is_late = now - self.began >= WAIT_FOR_THREAD_S
                return f"its worker had no thread for it within {WAIT_FOR_THREAD_S:g} s" if is_late else ""
            return f"the jobs before it took longer than {BEGIN_WITHIN_S:g} s" if now >= self._begins_until else ""


class InFlight:
    """The groups in flight, by attempt. `len` counts those that are `coming`, too.

    Two attempts of one job can be in flight here: after a database outage or a suspended process the first one's lease
    may have expired, and the job been claimed again, before its thread ended.
    """

    def __init__(self) -> None:
        self.coming = 0  #: groups of fast types that are claimed and not added yet
        self._groups: dict[int, Group] = {}
        self._group_of: dict[int, Group] = {}  # by id() of the claimed job
        self._average_ms: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._groups) + self.coming

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def jobs(self) -> Iterator[Claimed]:
        for group in self._groups.values():
            yield from group.jobs.values()

    def group_of(self, job_id: str) -> Group | None:
        """The group of the job's newest attempt; None if the job does not run here."""
        return next((group for group in reversed(self._groups.values()) if job_id in group.jobs), None)

    def add(self, jobs: list[Claimed]) -> Group:
        for job in jobs:
            attempt.watch_sending(job)  # before the thread gets it, so that a stop or timeout can forbid sending
        kind = all_types().get(jobs[0].type)
        is_batch = kind is not None and kind.batch > 1
        group = Group(jobs, time_limit_of(jobs[0].type).total_seconds(), is_batch=is_batch)
        self._groups[id(group)] = group
        for job in jobs:
            self._group_of[id(job)] = group
        return group

    def finish(self, ending: Ending) -> Group | None:
        """Remove an attempt that ended; return its group, or None if a stop or a timeout has removed it before."""
        group = self._group_of.pop(id(ending.job), None)
        if group is None:
            return None
        del group.jobs[str(ending.job.id)]
        if not group.jobs:
            del self._groups[id(group)]
        if not ending.outcome.wait and ending.to is not State.QUEUED:  # a short end would make slow types look fast
            average = self._average_ms.get(group.type, ending.duration_ms)
            self._average_ms[group.type] = average + _NEWEST_WEIGHT * (ending.duration_ms - average)
        return group

    def group_sizes(self) -> dict[str, tuple[int, bool]]:
        """For each type, how many jobs one thread gets at a time and whether they must share a campaign."""
        return {name: (kind.batch, True) for name, kind in all_types().items() if kind.batch > 1} | self.fast()

    def fast(self) -> dict[str, tuple[int, bool]]:
        """`group_sizes` for types that are fast and idempotent, and have no limit: one thread would take all places."""
        kinds, limited = all_types(), overrides.concurrency()
        return {
            name: (_size_of_group(average), False)
            for name, average in self._average_ms.items()
            if average < FAST_MS and name not in limited and (kind := kinds.get(name))
            if kind.batch == 1 and kind.idempotent
        }

    def short(self) -> dict[str, tuple[int, bool]]:
        """`group_sizes` for types that may be claimed ahead: short, idempotent, one job at a time, and without a limit.

        If this worker dies, jobs that it never began count as failed, and they take places below a limit.
        """
        kinds, limited = all_types(), overrides.concurrency()
        return {
            name: (1, False)
            for name, average in self._average_ms.items()
            if average < SHORT_MS and name not in limited and (kind := kinds.get(name))
            if kind.batch == 1 and kind.idempotent
        }

    def all_fast(self) -> bool:
        """True if jobs are in flight, all of them are of fast types, and none hangs."""
        fast, now = self.fast(), time.monotonic()
        return bool(len(self)) and all(
            group.type in fast and self._expected_ms(now, group) < SHORT_MS for group in self._groups.values()
        )

    def count_ahead(self, threads: int) -> int:
        """How many groups may be claimed beyond one per thread: what these threads finish in AHEAD_MS.

        None unless everything in flight is short. One group per thread if all are fast: they run while another
        process records the ends of those before.
        """
        if self.all_fast():
            return threads
        now = time.monotonic()
        slowest = max(map(partial(self._expected_ms, now), self._groups.values()), default=math.inf)
        if slowest >= SHORT_MS:
            return 0
        return min(int(threads * AHEAD_MS / max(slowest, FAST_MS)), threads * MOST_AHEAD)

    def _expected_ms(self, now: float, group: Group) -> float:
        """What the group takes in all: its type's average, or what it has taken already if that is more."""
        return max(self._average_ms.get(group.type, math.inf), (now - group.began) * 1000)


def _size_of_group(average_ms: float) -> int:
    """How many jobs of a fast type one thread gets: the shorter they are, the more of their cost is the cycle's."""
    return int(FAST_GROUP_MS / max(average_ms, FAST_GROUP_MS / MOST_FAST))


def run_group(group: Group) -> Iterator[Ending]:
    """Run a group in this thread until its jobs have ended, are withdrawn, or it is too late for the rest."""
    while jobs := group.begin():
        yield from attempt.run_handler(jobs, deadline=group.deadline)
