"""How many jobs are in each state. Every page, metric and health line reads it here, so that no two differ."""

import threading
import time
from typing import Final, NamedTuple

from django.db import connection, connections
from django.db.models import Count, Q

from jobs.models import Job
from jobs.states import State
from jobs.waits import ERRORS, Wait, error_of

MOST_COUNTED: Final = 10_000  #: jobs of one state that a page counts; beyond it, it shows "10,000+"
SHARE: Final = 0.05  #: of the time that counting one large state may take
AT_ONCE_S: Final = 0.1  #: a state that takes longer is counted in a thread


def count_states() -> dict[State, int]:
    """Jobs in each state, up to MOST_COUNTED + 1; one query that reads indexes only."""
    parts = " UNION ALL ".join(
        f"SELECT '{s.value}', (SELECT COUNT(*) FROM "  # noqa: S608 - the states are our own constants
        f"(SELECT 1 FROM jobs_job WHERE state = '{s.value}' LIMIT {MOST_COUNTED + 1}) AS counted)"
        for s in State
    )
    with connection.cursor() as cursor:
        cursor.execute(parts)
        return {State(state): count for state, count in cursor.fetchall()}


#: Jobs that have to wait. Where an attempt began before it was found, as by one that read the event that an operator is
#: asked about, only the error tells.
HAVE_TO_WAIT: Final = Q(waits_since__isnull=False) | (
    Q(state=State.RETRYING.value) & Q.create([("error__startswith", f"{name}:") for name in ERRORS], connector=Q.OR)
)


class Retrying(NamedTuple):
    """RETRYING jobs apart: those that failed, and those that have to wait, which is no failure (jobs/waits.py)."""

    failing: int
    waiting: int
    blocked: int  #: of those that wait, for the circuit breaker
    may_be_more: bool  #: there are more jobs than were looked at


def count_retrying() -> Retrying:
    """Of the next MOST_COUNTED to retry; one query."""
    blocked = HAVE_TO_WAIT & Q(error__startswith=f"{error_of(Wait.BREAKER)}:")
    found = Job.objects.in_state(State.RETRYING).order_by("due_at")[: MOST_COUNTED + 1]
    counted = found.aggregate(
        every=Count("pk"), waiting=Count("pk", filter=HAVE_TO_WAIT), blocked=Count("pk", filter=blocked)
    )
    every, waiting = counted["every"], counted["waiting"]
    return Retrying(every - waiting, waiting, counted["blocked"], every > MOST_COUNTED)


class _Large:
    """The last count of a state with more than MOST_COUNTED jobs."""

    def __init__(self) -> None:
        self.number = self.took_s = self.counted_at = 0.0
        self.lock = threading.Lock()

    @property
    def is_fresh(self) -> bool:
        return bool(self.counted_at) and time.monotonic() - self.counted_at <= self.took_s / SHARE


class ExactCounts:
    """Counts without a limit, for numbers that cannot say "10,000+".

    What takes AT_ONCE_S or more to count is 1 / SHARE times as old as that at most; all else is exact.
    """

    def __init__(self) -> None:
        self._large = {state: _Large() for state in State}

    def read(self) -> dict[State, int]:
        return {
            state: few if few <= MOST_COUNTED else max(few, self._read_large(state))
            for state, few in count_states().items()
        }

    def _read_large(self, state: State) -> int:
        large = self._large[state]
        if not large.is_fresh and large.lock.acquire(blocking=not large.counted_at):
            if large.is_fresh:  # another thread has just counted
                large.lock.release()
            elif large.took_s < AT_ONCE_S:
                self._count(state)
            else:
                threading.Thread(target=self._count_aside, args=[state], name="recount", daemon=True).start()
        return int(large.number)

    def _count_aside(self, state: State) -> None:
        try:
            self._count(state)
        finally:
            connections.close_all()

    def _count(self, state: State) -> None:
        """Count the state, whose lock is held."""
        large, began = self._large[state], time.monotonic()
        try:
            number = Job.objects.filter(state=state.value).count()
            large.number, large.counted_at = number, time.monotonic()
            large.took_s = large.counted_at - began
        finally:
            large.lock.release()


EXACT: Final = ExactCounts()
