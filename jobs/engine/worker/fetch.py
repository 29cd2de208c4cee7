"""What a worker takes out of Redis before it claims it: for its idle slots, and where jobs are fast a batch ahead."""

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter

from jobs.engine.worker.in_flight import InFlight
from jobs.engine.worker.rq_mirror import Batch, RQMirror


class Fetch:
    """Groups of ids that were taken, the most urgent first; `run_foreign` is given what is none of ours.

    Each `begin` is answered by an `end`, and the caller can work meanwhile. All raise redis.RedisError.
    """

    def __init__(
        self, mirror: RQMirror, flight: InFlight, concurrency: int, run_foreign: Callable[[tuple[str, str]], None]
    ) -> None:
        self.groups: list[Batch] = []
        self._mirror = mirror
        self._flight = flight
        self._concurrency = concurrency
        self._run_foreign = run_foreign

    def begin(self, now: datetime, *, idle: int, limit: int | None) -> None:
        """Ask for the slots that are idle and have nothing taken for them; at most `limit` jobs where there is one."""
        self.end()  # where a fault came between
        slots = idle - len(self.groups)
        if limit is not None:
            slots = min(slots, limit)
        if slots > 0:
            batches = {} if limit is not None else self._flight.batches()
            self._mirror.begin_fetch(now, slots=slots, batches=batches)

    def begin_ahead(self, now: datetime, *, idle: int) -> None:
        """Ask for one batch more where all that is in flight is as good as done, of nothing that is not as fast."""
        slots = self._concurrency - max(0, len(self.groups) - idle)
        if slots > 0 and self._flight.all_fast():
            self._mirror.begin_fetch(now, slots=slots, batches=self._flight.fast(), ahead=True)

    def end(self) -> None:
        """Note what Redis has given, if it was asked."""
        groups, foreign = self._mirror.end_fetch()
        if groups:
            self.groups = sorted([*self.groups, *groups], key=attrgetter("rank"))
        if foreign:
            self._run_foreign(foreign)

    def note_claimed(self, groups: list[Batch]) -> None:
        """These, which are the first, are in the database's hands."""
        del self.groups[: len(groups)]
        self._mirror.note_claimed([i for group in groups for i in group.ids])
