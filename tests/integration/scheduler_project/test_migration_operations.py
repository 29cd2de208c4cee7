"""scheduler_project/migration_operations.py on a real table, beside others who use it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import NotSupportedError, connection, connections, models, transaction
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

from scheduler_project.migration_operations import AddConstraintOnline, AddIndexOnline, RemoveIndexOnline, RunInBatches
from tests.support.servers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer, and builds at once")
INDEX = models.Index(fields=["name"], name="row_name")
CHECK = models.CheckConstraint(condition=models.Q(name__gt=""), name="row_named")
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'row_name'::regclass"


@pytest.fixture
def state() -> Iterator[ProjectState]:
    """A table of five rows."""
    made = ProjectState()
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=10)),
    ]
    made.add_model(ModelState("jobs", "Row", fields))
    model: Any = made.apps.get_model("jobs", "Row")
    with connection.schema_editor() as editor:
        editor.create_model(model)
    model.objects.bulk_create([model(name=f"row {n}") for n in range(5)])
    yield made
    with connection.schema_editor() as editor:
        editor.delete_model(model)


def apply(operation: Operation, state: ProjectState, *, atomic: bool = False) -> ProjectState:
    """Migrate forwards; the state then."""
    after = state.clone()
    operation.state_forwards("jobs", after)
    with connection.schema_editor(atomic=atomic) as editor:
        operation.database_forwards("jobs", editor, state, after)
    return after


def rows_of(state: ProjectState) -> Any:
    """The table's manager."""
    model: Any = state.apps.get_model("jobs", "Row")
    return model.objects


def index_names() -> set[str]:
    """Names of the table's indexes and constraints."""
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, "jobs_row"))


def query(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone() if cursor.description else None


def test_each_operation_can_be_repeated_after_an_interruption(state: ProjectState) -> None:
    """A migration without a transaction restarts at its first operation."""
    for _ in range(2):
        after = apply(AddIndexOnline("row", INDEX), state)
        checked = apply(AddConstraintOnline("row", CHECK), after)
        assert {"row_name", "row_named"} <= index_names()
    with pytest.raises(Exception, match="row_named"), transaction.atomic():
        rows_of(checked).create(name="")

    for _ in range(2):
        apply(RemoveIndexOnline("row", "row_name"), after)
        assert "row_name" not in index_names()


def test_a_removed_index_is_restored_backwards(state: ProjectState) -> None:
    """By `manage.py migrate jobs 0013`."""
    after = apply(AddIndexOnline("row", INDEX), state)
    operation = RemoveIndexOnline("row", "row_name")
    gone = apply(operation, after)

    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards("jobs", editor, gone, after)
    assert "row_name" in index_names()
    with connection.schema_editor(atomic=False) as editor:
        AddIndexOnline("row", INDEX).database_backwards("jobs", editor, after, state)
    assert "row_name" not in index_names()


def test_rows_are_changed_in_batches(state: ProjectState) -> None:
    """Each is committed: after an interruption the next run continues."""
    rows = rows_of(state)

    def rename(_apps: Any, _editor: Any) -> int:
        ids = list(rows.filter(name__startswith="row").values_list("id", flat=True)[:2])
        if len(ids) == 1 and not broken:
            broken.append(True)
            raise ConnectionError("away")
        return int(rows.filter(id__in=ids).update(name="new"))

    broken: list[bool] = []
    with pytest.raises(ConnectionError):
        apply(RunInBatches(rename), state)
    assert rows.filter(name="new").count() == 4
    apply(RunInBatches(rename), state)

    assert rows.filter(name="new").count() == 5


@POSTGRESQL
def test_an_invalid_index_is_rebuilt(state: ProjectState) -> None:
    """An interrupted CREATE INDEX CONCURRENTLY leaves one behind."""
    apply(AddIndexOnline("row", INDEX), state)
    query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'row_name'::regclass")
    assert query(VALID) == (False,)

    apply(AddIndexOnline("row", INDEX), state)

    assert query(VALID) == (True,)


@POSTGRESQL
def test_an_operation_in_a_transaction_says_what_to_do(state: ProjectState) -> None:
    """PostgreSQL's own message does not name the migration's attribute."""
    with pytest.raises(NotSupportedError, match="atomic = False"):
        apply(AddIndexOnline("row", INDEX), state, atomic=True)


@POSTGRESQL
def test_others_write_while_an_index_is_built(state: ProjectState) -> None:
    """The build waits for an open transaction, however long; later writers do not wait for it."""
    other = connections.create_connection("default")

    def build() -> None:
        apply(AddIndexOnline("row", INDEX), state)
        connection.close()

    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO jobs_row (name) VALUES ('open')")
        thread = threading.Thread(target=build)
        thread.start()
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
        )
        wait_until(lambda: query(waits) == (1,), what="the build waits")

        with transaction.atomic():
            query("SET LOCAL lock_timeout = '50ms'")
            query("INSERT INTO jobs_row (name) VALUES ('later')")
        assert thread.is_alive()
        cursor.execute("COMMIT")
    thread.join(60)
    other.close()

    assert query(VALID) == (True,)
