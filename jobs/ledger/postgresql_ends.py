"""The JSON with which attempts end on PostgreSQL, and the rows that CYCLE reads of it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jobs.ledger.base import as_json
from jobs.ledger.entries import claimed_by, explain_wait
from jobs.ledger.rows import Claimant, Ending

#: What differs between the jobs of a batch, by the names of the rows.
_OWN: Final = "id uuid, attempt int, failures int, result jsonb, wait_ms float8, kind int"
#: What they share. A third of an end's time was the reading of its JSON, and most of that the calls of its batch.
_SHARED: Final = (
    ("state", "text"),
    ("finished", "bool"),
    ("due_at", "timestamptz"),
    ("error", "text"),
    ("traceback", "text"),
    ("failure_key", "text"),
    ("type", "text"),
    ("counted_as", "text"),
    ("run_ms", "float8"),
    ("unknown", "bool"),
    ("reason", "text"),
    ("duration_ms", "float8"),
    ("details", "jsonb"),
    ("waits", "int"),
    ("waits_since", "timestamptz"),
    ("noted", "bool"),
    ("began", "timestamptz"),
    ("waited", "text"),
    ("claimed_by", "text"),
)
_NAMES: Final = tuple(name for name, _ in _SHARED)
#: The rows `v` of the first parameter, with what they share.
ENDS: Final = (
    f"given AS (SELECT * FROM json_to_record($1::json) AS g(kinds json, ends json)), "
    f"kinds AS MATERIALIZED (SELECT k.* FROM given, json_to_recordset(kinds) "
    f"AS k(kind int, {', '.join(f'{name} {kind}' for name, kind in _SHARED)})), "
    f"v AS (SELECT e.*, {', '.join(f'k.{name}' for name in _NAMES)} FROM given, json_to_recordset(ends) AS e({_OWN}) "
    "JOIN kinds AS k USING (kind))"
)


def ends_as_json(endings: Sequence[Ending], by: Claimant) -> str:
    """The first parameter of CYCLE; with `waited`, it writes the entries after a wait (rows.entries_of_end)."""
    kinds: dict[tuple[Any, ...], int] = {}
    ends = []
    for ending in endings:
        outcome = ending.outcome
        ends.append(
            {
                "id": ending.job.id,
                "attempt": ending.job.attempt,
                "failures": ending.failures,
                "result": None if ending.result is None else msgspec.Raw(ending.result.encode()),
                "wait_ms": ending.waited_ms(by.now) if outcome.is_run else None,
                "kind": kinds.setdefault(_shared_values(ending, by), len(kinds)),
            }
        )
    named = []
    for values, number in kinds.items():
        kind = dict(zip(_NAMES, values, strict=True))
        if kind["details"] is not None:
            kind["details"] = msgspec.Raw(kind["details"].encode())
        named.append({"kind": number, **kind})
    return as_json({"kinds": named, "ends": ends})


def _shared_values(ending: Ending, by: Claimant) -> tuple[Any, ...]:
    """The values of _SHARED."""
    job, outcome, now = ending.job, ending.outcome, by.now
    after_wait = job.waits_since is not None and not ending.bounced
    began = (job.started_at or now) if after_wait else None
    duration_ms = round(ending.duration_ms, 3)
    return (
        outcome.to.value,
        ending.finished_at(now) is not None,
        outcome.due_at,
        ending.error,
        ending.traceback,
        ending.failure_key,
        job.type,
        outcome.counted_as,
        duration_ms if outcome.is_run else None,
        outcome.unknown,
        outcome.reason,
        duration_ms,
        ending.details,
        ending.waits,
        ending.waits_since(now),
        job.waits_since is None or after_wait,
        began,
        explain_wait(job, began) if began else None,
        claimed_by(job, by) if after_wait else None,
    )
