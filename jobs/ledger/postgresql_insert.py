"""The statement that inserts new jobs into PostgreSQL, and the JSON that it reads."""

from typing import Any, Final

from jobs.ledger.base import AUDIT_COLUMNS, INSERTED, INSERTED_COLUMNS
from jobs.ledger.postgresql_types import TYPES
from jobs.ledger.rows import Entry
from jobs.models import Job

#: What a new job always has. A third of an insertion's time was the reading of its JSON, so that has neither these nor
#: what is empty.
_OF_NEW: Final = {"attempt": "0", "failures": "0", "worker": "''", "error": "''", "traceback": "''"}
_NAMED: Final = tuple(name for name in INSERTED_COLUMNS if name not in _OF_NEW)
_NEW_AS: Final = ", ".join(f'"{name}" {TYPES.get(name, "text")}' for name in _NAMED)
_NEW: Final = ", ".join(
    _OF_NEW.get(name) or (f'v."{name}"' if name in TYPES else f"coalesce(v.\"{name}\", '')")
    for name in INSERTED_COLUMNS
)
INSERT: Final = (
    f"WITH v AS (SELECT * FROM json_to_recordset($1::json) AS v({_NEW_AS}, "
    "actor text, reason text, details text, action_id bigint)), "
    f"new AS (INSERT INTO jobs_job ({INSERTED}) SELECT {_NEW} FROM v "
    "ORDER BY unique_key "  # in one order, or two submitters of the same work could lock each other
    "ON CONFLICT (unique_key) DO NOTHING RETURNING id, unique_key), "
    f"noted AS (INSERT INTO jobs_auditentry ({AUDIT_COLUMNS}, action_id) SELECT id, v.moved_at, '', v.state, 0, "
    "v.actor, coalesce(v.reason, ''), NULL, '', v.details::jsonb, v.action_id FROM v JOIN new USING (id)) "
    "SELECT unique_key FROM new"
)


def new_row(job: Job, entry: Entry) -> dict[str, Any]:
    """The columns that INSERT reads; the rest of the entry is the job's."""
    row = {name: value for name in _NAMED if (value := getattr(job, name)) is not None and value != ""}
    row["actor"] = entry.actor
    if entry.reason:
        row["reason"] = entry.reason
    if entry.details:
        row["details"] = entry.details
    if entry.action_id:
        row["action_id"] = entry.action_id
    return row
