"""Query plans of the repeated statements: none scans the backlog."""

import re
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from jobs.ledger import PostgreSQL, SQLite
from jobs.ledger.sqlite_batches import for_rows
from jobs.models import AuditEntry, Job
from jobs.models.indexes import Inlined
from jobs.states import WAITING, State
from ops.reads.job import find_near
from tests.support.rows import generate

pytestmark = pytest.mark.django_db
NOW = timezone.now()
ID = "('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"  #: of the n-th row

BY_ID = [
    SQLite.CLAIMABLE,
    SQLite.CLAIM,
    SQLite.RUNNING,
    SQLite.END,
    for_rows(SQLite.END),
    SQLite.DUE,
    SQLite.QUEUE,
    SQLite.PURGE,
    SQLite.STORED,
]
ASKED = [
    *((Job.objects.in_state(s).filter(due_at__gt=NOW, due_at__lte=NOW).order_by("due_at", "id"), s) for s in WAITING),
    *((Job.objects.in_state(s).filter(due_at__lt=NOW).order_by("due_at"), s) for s in WAITING),
    (Job.objects.in_state(State.QUEUED).filter(moved_at__lt=NOW).order_by("moved_at", "id"), State.QUEUED),
    (
        Job.objects.in_state(State.QUEUED).filter(moved_at__gt=NOW, moved_at__lte=NOW).order_by("moved_at", "id"),
        State.QUEUED,
    ),
    (Job.objects.in_state(State.QUEUED).filter(moved_at__gt=NOW).order_by("moved_at", "id"), State.QUEUED),
    (Job.objects.in_state(State.RETRYING).order_by("due_at"), State.RETRYING),
    (Job.objects.in_state(State.RUNNING).filter(worker="w").order_by("started_at"), State.RUNNING),
    (Job.objects.in_state(State.RUNNING).filter(lease_until__lt=NOW).order_by("lease_until"), State.RUNNING),
]
NEWEST = [
    (Job.objects.filter(state=State.SUCCEEDED.value).order_by("-id"), "job_by_state"),
    (Job.objects.filter(state=State.SUCCEEDED.value, id__lt=UUID(int=9)).order_by("-id"), "job_by_state"),
    (Job.objects.filter(campaign_id="c-1").order_by("-id"), "job_by_campaign"),
    (Job.objects.filter(type="X").order_by("-id"), "job_by_type"),
]


def plan_of(sql: str) -> list[str]:
    """The steps of SQLite's plan for a statement."""
    connection.ensure_connection()
    values = [None] * sql.count("?")
    rows: Iterable[tuple[int, int, int, str]] = connection.connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)
    return [row[3] for row in rows if "jobs_job" in row[3]]


def as_if_new() -> None:
    """Take away what rows of earlier tests have left in PostgreSQL's indexes: the planner counts their pages."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE jobs_job CASCADE")


@pytest.mark.skipif("connection.vendor != 'sqlite'")
@pytest.mark.parametrize("sql", BY_ID)
def test_moves_search_by_id(sql: str) -> None:
    """SQLite must not scan an index on state, which is the whole backlog."""
    plan = plan_of(sql)

    assert plan
    assert all("USING INDEX sqlite_autoindex_jobs_job_1 (id=?)" in step for step in plan)


@pytest.mark.skipif("connection.vendor != 'sqlite'")
@pytest.mark.parametrize(("rows", "state"), ASKED)
def test_rounds_use_the_index_of_their_state(rows: QuerySet[Job], state: State) -> None:
    """Their cost does not depend on jobs in other states or due later."""
    plan = rows[:500].explain()

    assert f"USING INDEX job_{state.value.lower()} (state=?" in plan
    assert "SCAN jobs_job" not in plan


@pytest.mark.skipif("connection.vendor != 'sqlite'")
@pytest.mark.parametrize(("rows", "index"), NEWEST)
def test_the_newest_are_read_from_the_end_of_their_index(rows: QuerySet[Job], index: str) -> None:
    """A page of a list sorts nothing."""
    plan = rows[:50].explain()

    assert f"USING INDEX {index} (" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_the_purge_reads_the_oldest_by_their_ends() -> None:
    """A look costs the same however many jobs are left."""
    assert plan_of(SQLite.ENDED) == ["SEARCH jobs_job USING INDEX job_finished (finished_at>? AND finished_at<?)"]
    connection.ensure_connection()
    trail = connection.connection.execute(f"EXPLAIN QUERY PLAN {SQLite.PURGE_TRAIL}", ["[]"]).fetchall()
    assert "SEARCH jobs_auditentry USING INDEX jobs_auditentry_job_id" in trail[0][3]


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.parametrize("sql", [PostgreSQL.CYCLE, PostgreSQL.QUEUE, PostgreSQL.PURGE], ids=["cycle", "queue", "purge"])
@pytest.mark.parametrize("analyzed", [True, False])
def test_postgresql_moves_search_by_id(sql: str, analyzed: bool) -> None:
    """Neither the index on state nor the table is scanned, with or without fresh statistics."""
    as_if_new()
    same = {"type": "X", "state": "QUEUED", "due_at": NOW, "source": "test"}
    generate(Job, 5000, same, {"id": ID, "unique_key": "n"})
    with connection.cursor() as cursor:
        if analyzed:
            cursor.execute("ANALYZE jobs_job")
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE asked AS {sql}")
        cursor.execute(f"EXPLAIN EXECUTE asked ({', '.join('NULL' for _ in set(re.findall(r'[$][0-9]+', sql)))})")
        plan = [row[0] for row in cursor.fetchall()]
        cursor.execute("DEALLOCATE asked")

    touched = [step for step in plan if re.search("(?<!Update|Delete) on jobs_job", step)]
    assert touched
    assert all("jobs_job_pkey" in step or "Bitmap Heap Scan" in step for step in touched), plan
    assert not [step for step in plan if "job_by_state" in step or "job_queued" in step or "job_running" in step]


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.parametrize("analyzed", [True, False])
def test_postgresql_rounds_use_the_index_of_their_state(analyzed: bool) -> None:
    """As on SQLite, with or without fresh statistics."""
    as_if_new()
    for number, state in enumerate(s for s in State if s is not State.RUNNING):
        same = {"type": "X", "state": state.value, "source": "test"}
        at = f"timestamptz '{NOW.isoformat()}' + (n - 1500) * interval '1 second'"
        each = {
            "id": ID.replace("-0000-", f"-{number:04}-"),
            "unique_key": f"'{number} ' || n",
            "due_at": at,
            "moved_at": at,
        }
        generate(Job, 3000, same, each)
    if analyzed:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE jobs_job")

    for rows, asked in ASKED:
        plan = rows[:500].explain()

        assert re.search(rf"(Index Scan|Index Only Scan|Bitmap Index Scan).* job_{asked.value.lower()}\b", plan), plan
        assert "Seq Scan" not in plan


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_postgresql_finds_relatives_by_the_campaign_s_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's page costs the same however many jobs there are."""
    as_if_new()
    monkeypatch.setattr("ops.reads.job.NEAR", 50)
    same = {"type": "X", "state": "QUEUED", "due_at": NOW, "source": "test"}
    generate(Job, 20_000, same, {"id": ID, "unique_key": "n", "campaign_id": "'c-' || n %% 100"})
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")

    rows = find_near(Job.objects.order_by("pk")[10_000])
    plan = rows.order_by("-pk")[:30].explain()

    assert len(rows) == 2 * 50
    assert not re.findall(r"(?:Scan .*using|on) (?!job_by_campaign)(?:job_|jobs_job_)\w+", plan), plan
    assert "Seq Scan" not in plan
    assert len(re.findall(r"Index Cond: \(.*campaign_id.* AND \(id ", plan)) == 3, plan


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_postgresql_s_partial_indexes_begin_with_the_queried_column() -> None:
    """The planner drops an implied condition: behind an unbound first column it would read the whole index."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'jobs_%' AND indexdef LIKE '% WHERE %'")
        partial = [row[0] for row in cursor.fetchall()]

    of_one_state = [text for text in partial if re.search(r"WHERE \(\(\w+\)::text = ", text)]
    assert len(of_one_state) == 8
    assert not [text for text in of_one_state if re.search(r"btree \((\w+)\b.* WHERE \(\(\1\)", text)]


def test_in_state_finds_exactly_that_state() -> None:
    """The inlined condition means the same as the parameter."""
    for number, state in enumerate(State):
        Job.objects.create(
            type="X", unique_key=str(number), state=state, due_at=NOW, source="test", lease_until=NOW + timedelta(1)
        )

    for state in State:
        assert [job.state for job in Job.objects.in_state(state)] == [state]


@pytest.mark.parametrize("actor", ["user:ann", "user:", "user", "user:100%", "worker:w"])
def test_an_inlined_condition_equals_its_parameters(actor: str) -> None:
    """Percent signs and quotes too, beside parameters, in statements and subqueries."""
    job = Job.objects.create(type="X", unique_key="x", state=State.QUEUED, due_at=NOW, source="it's 100%s")
    AuditEntry.objects.create(job=job, now=State.QUEUED, attempt=0, actor=actor)
    quoted = Q(source="it's 100%s")

    assert AuditEntry.objects.by_people().exists() == actor.startswith("user:")
    assert AuditEntry.objects.by_people().filter(attempt=0).count() == actor.startswith("user:")
    assert Job.objects.filter(Inlined(quoted)).count() == 1
    assert Job.objects.exclude(Inlined(quoted)).count() == 0
    assert Job.objects.filter(Inlined(quoted & Q(type="Y") | Q(attempt=0)), type="X").count() == 1
    inner = Job.objects.filter(Inlined(quoted), pk=OuterRef("job_id"))
    assert AuditEntry.objects.filter(Exists(inner), actor=actor).count() == 1
    assert Job.objects.filter(Inlined(quoted)).update(worker="50%") == 1


def test_only_texts_and_whole_numbers_are_inlined() -> None:
    """Databases write other types differently."""
    with pytest.raises(TypeError):
        AuditEntry.objects.filter(Inlined(Q(duration_ms=1.5))).exists()
