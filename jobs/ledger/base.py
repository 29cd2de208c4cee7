"""The ledger's interface to a database, and the SQL that both dialects share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final

import msgspec

from jobs.histogram import COLUMNS as WAITED_COLUMNS
from jobs.ledger.rows import (
    Claimant,
    Cycled,
    DeadLetterCount,
    EndedAt,
    Ending,
    Enqueued,
    Entry,
    Outcomes,
    Purged,
)
from jobs.models import Job, ScheduleRow
from jobs.states import ENDED, WAITING, State

CLAIMED_COLUMNS: Final = (
    "id, type, campaign_id, subject, payload, priority, attempt, failures, due_at, clock, clock_due, occurrences, "
    '"interval", request_id, payload_version, waits, waits_since'
)
AUDIT_COLUMNS: Final = "job_id, at, was, now, attempt, actor, reason, duration_ms, error, details"
INSERTED_COLUMNS: Final = (
    "id",
    "type",
    "campaign_id",
    "subject",
    "payload",
    "unique_key",
    "priority",
    "state",
    "attempt",
    "failures",
    "due_at",
    "first_due_at",
    "created_at",
    "moved_at",
    "worker",
    "error",
    "traceback",
    "source",
    "request_id",
    "clock_due",
    "clock",
    "occurrences",
    "interval",
    "payload_version",
)
PLACED_COLUMNS: Final = (  # the columns of a stored schedule row that change
    "household",
    "entity_name",
    "clock",
    "anchor",
    "interval",
    "next_due",
    "fire_at",
    "world_anchor",
    "job_type",
    "payload",
    "updated_at",
)
ADDED_COLUMNS: Final = ("campaign_id", "entity_type", "entity_id", "event_type", *PLACED_COLUMNS)  # of a new one
ADDED: Final = ", ".join(f'"{column}"' for column in ADDED_COLUMNS)
DATED_COLUMNS: Final = ("anchor", "interval", "next_due", "fire_at", "updated_at")  # those of its due times
OUTCOME_COLUMNS: Final = (
    "minute",
    "type",
    "outcome",
    "shard",
    "jobs",
    "run_ms",
    "run_ms_max",
    "wait_ms",
    "wait_ms_max",
    *WAITED_COLUMNS,
)
_ADDED: Final = ", ".join(f"{c} = o.{c} + excluded.{c}" for c in ("jobs", "run_ms", "wait_ms", *WAITED_COLUMNS))
UPSERT: Final = (
    f"INSERT INTO jobs_outcomeminute AS o ({', '.join(OUTCOME_COLUMNS)}) {{rows}} "
    f"ON CONFLICT (minute, type, outcome, shard) DO UPDATE SET {_ADDED}, "
    "run_ms_max = {greatest}(o.run_ms_max, excluded.run_ms_max), "
    "wait_ms_max = {greatest}(o.wait_ms_max, excluded.wait_ms_max)"
)
GROUP: Final = (
    "INSERT INTO jobs_failuregroup AS g (key, error, message, place, first_seen, last_seen) VALUES ({values}) "
    "ON CONFLICT (key) DO UPDATE SET last_seen = excluded.last_seen"
)
HOUR: Final = (
    "INSERT INTO jobs_failurehour AS h (group_id, hour, jobs) VALUES ({values}) "
    "ON CONFLICT (group_id, hour) DO UPDATE SET jobs = h.jobs + excluded.jobs"
)
INSERTED: Final = ", ".join(f'"{column}"' for column in INSERTED_COLUMNS)
QUEUED: Final = "id, type, campaign_id, priority, attempt, subject, payload_version, failures"
WAITS: Final = ", ".join(f"'{state}'" for state in WAITING)
PURGED: Final = ", ".join(f"'{state}'" for state in ENDED if state is not State.DEAD)
PURGED_AT_ONCE: Final = 250  # jobs a transaction, which others may have to wait for


class Statements(ABC):
    """The ledger's statements; each runs in the caller's transaction."""

    overlaps: bool = False  #: the database works in a process of its own, and something else can be done meanwhile

    @abstractmethod
    def insert(self, jobs: Mapping[str, Job], entries: Sequence[Entry]) -> set[str]:
        """Insert the jobs whose unique key is new, each with its audit entry; return the keys inserted."""

    def insert_each(
        self, batches: Sequence[Callable[[], tuple[Mapping[str, Job], Sequence[Entry]]]]
    ) -> Iterator[tuple[Mapping[str, Job], Sequence[Entry], set[str]]]:
        """Make each batch, `insert` it, and yield it with the keys inserted.

        Where the database `overlaps`, the next one is made while it works, and must not use this connection.
        """
        for make in batches:
            jobs, entries = make()
            yield jobs, entries, self.insert(jobs, entries)

    @abstractmethod
    def block(self, *, more: bool) -> AbstractContextManager[object]:
        """A transaction for one `cycle`, `insert` or `queue`; `more` if other statements run in it.

        Without `more`, Django may not know of it: what is to follow the commit is registered after the block.
        """

    @abstractmethod
    def cycle(
        self,
        endings: Sequence[Ending],
        ids: Sequence[str],
        by: Claimant,
        meanwhile: Callable[[], None] | None = None,
    ) -> Cycled:
        """End attempts and claim jobs, write their audit entries (`entries_of_end`, `entry_of_claim`), count the ends.

        The answer has the attempts that were still RUNNING and have ended, and the QUEUED jobs among `ids` that were
        claimed, in the order of `ids`. `endings` has each attempt once. Payloads that the claimant cannot read are
        left QUEUED. `meanwhile`, which must not use this connection, is called while the database works if it
        `overlaps`.
        """

    @abstractmethod
    def queue(
        self, ids: Sequence[str], *, actor: str, reason: str, now: datetime
    ) -> list[tuple[Enqueued, Entry | None]]:
        """Queue the waiting jobs among `ids` that are due; return them with their audit entries.

        A job that was found to have to wait gets none: it has one once it need not any longer.
        """

    @abstractmethod
    def add(self, rows: Sequence[ScheduleRow]) -> None:
        """Insert schedule rows; one whose entity and event type have a row already is left out."""

    @abstractmethod
    def place(self, rows: Sequence[ScheduleRow]) -> None:
        """Update schedule rows; Django's bulk_update takes seconds for thousands."""

    @abstractmethod
    def redate(self, rows: Sequence[ScheduleRow]) -> None:
        """Update the due times of schedule rows; `place`, which writes all of them anew, takes twice the time."""

    @abstractmethod
    def purge(self, before: datetime, after: EndedAt) -> Purged:
        """Delete jobs that ended before a moment, with their audit entries, in a transaction of its own.

        It looks at the PURGED_AT_ONCE next ones `after` another, in the order of their ends. Dead letters stay, and so
        do jobs that another transaction has locked: an operator may be retrying them.
        """

    @abstractmethod
    def audit(self, entries: Iterable[Entry]) -> None:
        """Write audit entries."""

    @abstractmethod
    def count(self, rows: Iterable[Outcomes]) -> None:
        """Add outcomes to the totals of their minutes."""

    @abstractmethod
    def count_dead(self, rows: Iterable[DeadLetterCount]) -> None:
        """Record when failures were last seen, and add them to the totals of their hours."""


def as_json(value: Any) -> str:
    """JSON as the databases store it."""
    return msgspec.json.encode(value).decode()


def hour_of(moment: datetime) -> datetime:
    """The start of the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)
