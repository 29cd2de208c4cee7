"""Fetching from Redis: for idle slots, and ahead if jobs are fast or short. The recorder claims what was fetched."""

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Final

from jobs.engine.worker.in_flight import InFlight
from jobs.engine.worker.rq_mirror import FetchedGroup, RQMirror

MOST_FAST_FETCHED: Final = 500  #: in one script, during which Redis serves nobody else


class Fetch:
    """Fetched groups of IDs, most urgent first; plain RQ jobs go to `run_foreign`.

    `begin` sends the request and `end` reads the reply; the caller can work in between. All raise redis.RedisError.
    """

    def __init__(
        self, mirror: RQMirror, flight: InFlight, concurrency: int, run_foreign: Callable[[tuple[str, str]], None]
    ) -> None:
        self.groups: list[FetchedGroup] = []
        self._mirror = mirror
        self._flight = flight
        self._concurrency = concurrency
        self._run_foreign = run_foreign

    def begin(self, now: datetime, *, idle: int, limit: int | None) -> None:
        """Fetch for idle slots without a fetched group; at most `limit` jobs."""
        self.end()  # in case an error came between the last `begin` and its `end`
        slots = idle - len(self.groups)
        if limit is not None:
            slots = min(slots, limit)
        if slots > 0:
            sizes = {} if limit is not None else self._flight.group_sizes() | self._fast()
            self._mirror.begin_fetch(now, slots=slots, group_sizes=sizes)

    def begin_short(self, now: datetime, *, most: int) -> None:
        """Fetch jobs of short types, for idle slots and to be claimed ahead, up to the first job of another type.

        So nothing is claimed ahead together with a job that may take long.
        """
        self.end()
        slots, sizes = most - len(self.groups), self._flight.short()
        if slots > 0 and sizes:
            self._mirror.begin_fetch(now, slots=slots, group_sizes=sizes, ahead=True)

    def begin_prefetch(self, now: datetime, *, idle: int) -> None:
        """Fetch once more, groups of fast types only: everything in flight is fast, and so nearly done or just ended.

        If all has ended, only if the last fetch has filled all slots: otherwise there is hardly more.
        """
        slots = self._concurrency - max(0, len(self.groups) - idle)
        if slots > 0 and (self._flight or len(self.groups) >= self._concurrency):
            self._mirror.begin_fetch(now, slots=slots, group_sizes=self._fast(), ahead=True)

    def end(self) -> None:
        """Read the reply to the last `begin`, if there is one."""
        groups, foreign = self._mirror.end_fetch()
        if groups:
            self.groups = sorted([*self.groups, *groups], key=attrgetter("rank"))
        if foreign:
            self._run_foreign(foreign)

    def late(self, *, before: float) -> list[FetchedGroup]:
        """The groups that were fetched before that moment and that no thread has become free for."""
        return [group for group in self.groups if group.fetched_at < before]

    def drop(self, groups: list[FetchedGroup]) -> None:
        """Forget groups that went back to Redis."""
        self.groups = [group for group in self.groups if group not in groups]

    def _fast(self) -> dict[str, tuple[int, bool]]:
        """As many of fast types as one script and one transaction should move, whatever the concurrency."""
        most = max(1, MOST_FAST_FETCHED // self._concurrency)
        return {name: (min(size, most), shared) for name, (size, shared) in self._flight.fast().items()}

    def note_claimed(self, groups: list[FetchedGroup]) -> None:
        """Drop the first groups: the ledger has decided about them."""
        del self.groups[: len(groups)]
        self._mirror.note_claimed([i for group in groups for i in group.ids])
