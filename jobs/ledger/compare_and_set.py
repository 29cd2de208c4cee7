"""A move as one UPDATE of the rows that are unchanged since they were read. `moves` is the only caller."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from jobs.ledger.rows import Move
from jobs.models import Job

#: The columns that a move may change besides the state.
MUTABLE: Final = (
    "attempt",
    "failures",
    "priority",
    "due_at",
    "first_due_at",
    "started_at",
    "finished_at",
    "worker",
    "lease_until",
    "waits_since",
    "result",
    "error",
    "traceback",
)
_WRITTEN: Final = ("state", "moved_at", *MUTABLE)


def columns_after(wanted: Move) -> dict[str, Any]:
    """The columns of the job once it has moved. Raises TypeError for a change that is not in MUTABLE."""
    unknown = set(wanted.changes) - set(MUTABLE)
    if unknown:
        raise TypeError(f"a move cannot change {', '.join(sorted(unknown))}")
    kept = {name: getattr(wanted.job, name) for name in MUTABLE}
    if wanted.job.attempt == 0:  # stored by the release before, which kept no first due time
        kept["first_due_at"] = wanted.job.first_due_at or wanted.job.due_at
    kept["waits_since"] = None  # who moves a job ends its wait: the next claim is an attempt
    return {**kept, **wanted.changes, "state": wanted.to.value, "moved_at": timezone.now()}


def compare_and_set(batch: Sequence[Move], columns_of: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Move the whole batch in one statement, each job to its `columns_after`.

    Returns the ids of jobs that were unchanged since they were read.
    """
    meta = Job._meta
    fields = {name: meta.get_field(name) for name in ("id", "state", "attempt", *_WRITTEN)}
    casts = {
        name: f"::{f.db_type(connection)}" if connection.vendor == "postgresql" else "" for name, f in fields.items()
    }
    columns = ["id", "was", "at", *(f"to_{name}" for name in _WRITTEN)]
    types = ["id", "state", "attempt", *_WRITTEN]
    row = "(" + ", ".join(f"%s{_cast(casts[name])}" for name in types) + ")"
    values: list[Any] = []
    for w, after in zip(batch, columns_of, strict=True):
        raw = [w.job.id, w.job.state, w.job.attempt, *(after[name] for name in _WRITTEN)]
        # django-stubs types a field that may be a relation; these are columns of our own table.
        values += [fields[n].get_db_prep_save(v, connection) for n, v in zip(types, raw, strict=True)]  # type: ignore[union-attr]
    # `+state` stops SQLite from scanning the index on state, i.e. the whole backlog; PostgreSQL needs no hint.
    state = "+jobs_job.state" if connection.vendor == "sqlite" else "jobs_job.state"
    sql = (
        f"WITH v({', '.join(columns)}) AS (VALUES {', '.join([row] * len(batch))}) "  # noqa: S608 - names are our own
        f"UPDATE jobs_job SET {', '.join(f'{n} = v.to_{n}' for n in _WRITTEN)} FROM v "
        f"WHERE jobs_job.id = v.id AND {state} = v.was AND jobs_job.attempt = v.at RETURNING jobs_job.id"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return {_uuid(row[0]) for row in cursor.fetchall()}


def _cast(cast: str) -> str:
    return cast.replace("::integer CHECK", "::integer").split(" CHECK")[0]


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
