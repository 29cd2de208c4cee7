"""New jobs are stored as they are, in whichever columns those that are stored together differ."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.ledger import Entry, statements
from jobs.ledger.base import INSERTED_COLUMNS
from jobs.ledger.sqlite_batches import ROWS
from jobs.models import AuditEntry, Job
from jobs.states import Priority, State
from tests.support.examples import examples

pytestmark = pytest.mark.django_db
NOW = timezone.now()
DUE = NOW + timedelta(microseconds=1)
COLUMNS: dict[str, list[Any]] = {
    "payload": [{}, {"n": 1}, {"n": True}, {"n": 1.5, "text": "é\"'\\\u2028{}$1%s"}, {"of": [None, {}]}],
    "campaign_id": ["", "c-1", "ç,{}\"'\\"],
    "subject": ["", "0", "null"],
    "priority": [Priority.NORMAL.value, Priority.CRITICAL.value],
    "state": [State.QUEUED, State.SCHEDULED],
    "due_at": [NOW, DUE],
    "first_due_at": [None, NOW],
    "moved_at": [NOW, DUE],
    "request_id": ["", "r-1"],
    "clock": ["", "world"],
    "occurrences": [1, 100_000],
    "interval": [None, timedelta(days=400, microseconds=1), timedelta(0)],
    "payload_version": [1, 2],
}
OF_ENTRY: dict[str, list[Any]] = {
    "actor": ["user:ann", "token:t"],
    "reason": ["", "because"],
    "details": [None, '{"from":{"ip":"::1"}}'],
    "action_id": [None, 2**40],
}
ROW = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in {**COLUMNS, **OF_ENTRY}.items()})
FIRST = {name: values[0] for name, values in {**COLUMNS, **OF_ENTRY}.items()}
EACH = [FIRST, *({**FIRST, name: value} for name, values in {**COLUMNS, **OF_ENTRY}.items() for value in values[1:])]


def columns_of(job: Job) -> dict[str, Any]:
    """The payload as JSON, because 1 and True are equal."""
    return {n: json.dumps(v) if n == "payload" else v for n in INSERTED_COLUMNS for v in [getattr(job, n)]}


@given(st.lists(ROW, min_size=1, max_size=5), st.sets(st.integers(0, 4)))
@example(EACH, set())
@example([FIRST] * (ROWS + 1), {0, ROWS})
@examples(60)
def test_each_is_stored_as_it_is(rows: list[dict[str, Any]], known: set[int]) -> None:
    """With its entry, unless its work is known."""
    Job.objects.all().delete()
    AuditEntry.objects.all().delete()
    jobs = [
        Job(type="X", source="test", unique_key=f"{n % 7} {n}", created_at=NOW, **{name: row[name] for name in COLUMNS})
        for n, row in enumerate(rows)
    ]
    entries = [
        Entry(str(j.id), j.moved_at, "", j.state, 0, r["actor"], r["reason"], None, "", r["details"], r["action_id"])
        for j, r in zip(jobs, rows, strict=True)
    ]
    earlier = [Job(type="Y", due_at=NOW, unique_key=f"{n % 7} {n}", state=State.QUEUED) for n in known]
    Job.objects.bulk_create(earlier)

    with transaction.atomic():
        new = statements().insert({job.unique_key: job for job in jobs}, entries)

    added = [n for n in range(len(rows)) if n not in known]
    assert new == {jobs[n].unique_key for n in added}
    stored = Job.objects.filter(type="X").in_bulk()
    assert [columns_of(stored[jobs[n].id]) for n in added] == [columns_of(jobs[n]) for n in added]
    assert len(stored) == len(added)
    written = [
        Entry(
            str(e.job_id),
            e.at,
            e.was,
            e.now,
            e.attempt,
            e.actor,
            e.reason,
            e.duration_ms,
            e.error,
            e.details and json.dumps(e.details, separators=(",", ":")),
            e.action_id,
        )
        for e in AuditEntry.objects.order_by("id")
    ]
    assert written == [entries[n] for n in added]
