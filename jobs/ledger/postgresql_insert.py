"""The statement that inserts new jobs into PostgreSQL, each with its audit entry."""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import compress
from operator import attrgetter
from typing import Any, Final

import msgspec

from jobs.ledger.base import AUDIT_COLUMNS, INSERTED, INSERTED_COLUMNS, as_json
from jobs.ledger.postgresql_types import TYPES
from jobs.ledger.rows import Entry
from jobs.models import Job

_OF_NEW: Final = {"attempt": "0", "failures": "0", "worker": "''", "error": "''", "traceback": "''"}
_OF_JOB: Final = tuple(name for name in INSERTED_COLUMNS if name not in _OF_NEW)
_OF_ENTRY: Final = ("actor", "reason", "details", "action_id")  # the rest of an entry is its job's
_SENT: Final = (*_OF_JOB, *_OF_ENTRY)
_TYPES: Final = {**TYPES, "details": "jsonb", "action_id": "bigint"}
_PAYLOAD: Final = _OF_JOB.index("payload")
_OF_EACH_JOB: Final = [attrgetter(name) for name in _OF_JOB]
_OF_EACH_ENTRY: Final = [attrgetter(name) for name in _OF_ENTRY]


def insertion_of(jobs: Collection[Job], entries: Sequence[Entry]) -> tuple[str, Sequence[Any]]:
    """The statement that inserts these jobs, and its parameters. It returns the unique keys of those that are new.

    What all jobs share is sent once, and the rest as one JSON text, whose columns cost as much as indexes. A job that
    comes alone needs none.
    """
    columns = _columns_of(jobs, entries)
    if len(entries) == 1:
        return _insert(()), msgspec.to_builtins([values[0] for values in columns])
    differ = [values.count(values[0]) < len(values) for values in columns]
    shared = [values[0] for values, it_differs in zip(columns, differ, strict=True) if not it_differs]
    names = tuple(compress(_SENT, differ))
    own = _as_records(names, zip(*compress(columns, differ), strict=True))
    return _insert(names), [*msgspec.to_builtins(shared), own]


def _columns_of(jobs: Collection[Job], entries: Sequence[Entry]) -> list[list[Any]]:
    """The values of _SENT; the payload as JSON, because 1 and True are equal. Lists of rows would be more garbage."""
    columns = [list(map(of_job, jobs)) for of_job in _OF_EACH_JOB]
    columns[_PAYLOAD] = list(map(as_json, columns[_PAYLOAD]))
    return columns + [list(map(of_entry, entries)) for of_entry in _OF_EACH_ENTRY]


def _as_records(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """One JSON object a row; what is JSON already is put in as it is."""
    records = [dict(zip(names, row, strict=True)) for row in rows]
    for name in {"payload", "details"}.intersection(names):
        for record in records:
            if record[name] is not None:
                record[name] = msgspec.Raw(record[name].encode())
    return as_json(records)


@lru_cache(maxsize=50)  # each submitter's jobs differ in the same columns
def _insert(differing: tuple[str, ...]) -> str:
    """The statement for jobs that differ in these columns."""
    value = {name: f'v."{name}"' for name in differing}
    for name in _SENT:
        if name not in differing:
            value[name] = f"${len(value) - len(differing) + 1}::{_TYPES.get(name, 'text')}"
    record = ", ".join(f'"{name}" {_TYPES.get(name, "text")}' for name in differing)
    rows = f"v AS (SELECT * FROM json_to_recordset(${len(_SENT) - len(differing) + 1}::json) AS v({record})), "
    # In one order, or two submitters of the same work could lock each other.
    of_rows = "FROM v ORDER BY v.unique_key " if differing else ""
    joined = "JOIN v USING (id) " if set(differing) & set(_OF_ENTRY) else ""
    return (
        f"WITH {rows if differing else ''}"
        f"new AS (INSERT INTO jobs_job ({INSERTED}) "
        f"SELECT {', '.join(_OF_NEW.get(name) or value[name] for name in INSERTED_COLUMNS)} {of_rows}"
        "ON CONFLICT (unique_key) DO NOTHING RETURNING id, unique_key, moved_at, state), "
        f"noted AS (INSERT INTO jobs_auditentry ({AUDIT_COLUMNS}, action_id) "
        f"SELECT id, new.moved_at, '', new.state, 0, {value['actor']}, {value['reason']}, NULL, '', "
        f"{value['details']}, {value['action_id']} FROM new {joined}ORDER BY id) "
        "SELECT unique_key FROM new"
    )
