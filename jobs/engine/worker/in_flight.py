"""What a worker has in flight: groups of claimed jobs, each in one handler thread, and how fast their types are."""

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from jobs.engine.worker import attempt
from jobs.engine.worker.attempt import Ended
from jobs.ledger import Claimed
from jobs.registry import all_types

FAST_MS: Final = 2.0  #: handlers of a type that take less on average are given several jobs at a time
FAST_GROUP: Final = 8  #: how many; a more urgent job waits for one such group at most, some 16 ms
_NEWEST_WEIGHS: Final = 0.1  # of the moving average


class Finished(NamedTuple):
    """An ended attempt that is to be recorded."""

    ended: Ended
    shown: bool  #: RQ's tools see it as started


class Group:
    """Claimed jobs that one thread runs: a batch of one type and campaign, or a few of a fast type in turn."""

    __slots__ = ("began", "deadline", "fresh", "jobs", "shown", "task", "type")

    def __init__(self, jobs: list[Claimed], limit_s: float) -> None:
        self.began = time.monotonic()
        self.deadline = self.began + limit_s
        self.task = jobs  #: what the thread was given
        self.jobs = {job.id: job for job in jobs}  #: those that have not ended
        self.shown = False  #: RQ's tools see them as started,
        self.fresh = False  #: and will for some time yet
        self.type = jobs[0].type


class InFlight:
    """The groups in flight, by attempt.

    Of one job two attempts may be in flight here: the first one's lease ended while the database, or this process,
    stood still, and the job was claimed again before its thread had come to an end.
    """

    def __init__(self) -> None:
        self._groups: dict[int, Group] = {}
        self._group_of: dict[int, Group] = {}  # by the identity of what was claimed
        self._average_ms: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def jobs(self) -> Iterator[Claimed]:
        """Every job in flight."""
        for group in self._groups.values():
            yield from group.jobs.values()

    def group_of(self, job_id: str) -> Group | None:
        """The group that a job runs in, in its newest attempt; None when it does not run here."""
        return next((group for group in reversed(self._groups.values()) if job_id in group.jobs), None)

    def add(self, jobs: list[Claimed]) -> Group:
        """A group more."""
        for job in jobs:
            attempt.watch_sending(job)  # before its thread has it: whoever ends the attempt can forbid the sending
        group = Group(jobs, attempt.time_limit(jobs[0]).total_seconds())
        self._groups[id(group)] = group
        for job in jobs:
            self._group_of[id(job)] = group
        return group

    def finish(self, ended: Ended) -> Finished | None:
        """Take an ended attempt out; None when it was taken out before."""
        group = self._group_of.pop(id(ended.job), None)
        if group is None:
            return None
        del group.jobs[str(ended.job.id)]
        if not group.jobs:
            del self._groups[id(group)]
        average = self._average_ms.get(ended.job.type, ended.duration_ms)
        self._average_ms[ended.job.type] = average + _NEWEST_WEIGHS * (ended.duration_ms - average)
        return Finished(ended, group.shown)

    def batches(self) -> dict[str, tuple[int, bool]]:
        """By type how many jobs one thread is given at a time, and whether they must be of one campaign.

        What must not be done twice is never claimed before a thread is there for it: a worker that is lost would leave
        an unknown outcome of what it had not even begun.
        """
        return {name: (kind.batch, True) for name, kind in all_types().items() if kind.batch > 1} | self.fast()

    def fast(self) -> dict[str, tuple[int, bool]]:
        """`batches` of those types alone whose handlers take less than FAST_MS and may be done twice."""
        kinds = all_types()
        return {
            name: (FAST_GROUP, False)
            for name, average in self._average_ms.items()
            if average < FAST_MS and (kind := kinds.get(name)) and kind.batch == 1 and kind.idempotent
        }

    def all_fast(self) -> bool:
        """Whether something is in flight, and all of it is of fast types."""
        fast = self.fast()
        return bool(self._groups) and all(group.type in fast for group in self._groups.values())


def run_group(jobs: list[Claimed]) -> Iterator[Ended]:
    """Run a group in this thread: a batch at once, others one after the other."""
    kind = all_types().get(jobs[0].type)
    if kind is not None and kind.batch > 1:
        yield from attempt.run_handler(jobs)
        return
    for job in jobs:
        yield from attempt.run_handler([job])
