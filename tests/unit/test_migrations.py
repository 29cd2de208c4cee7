"""Migrations run while the previous release works: docs/deploying.md, Upgrade."""

from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

from scheduler_project.migration_operations import AddConstraintOnline, AddIndexOnline, RemoveIndexOnline, RunInBatches
from tests.support.schema_rules import faults_of, half_done_of

OURS = ("jobs", "monitoring")
UNRELEASED = "older than 0.1.0, the first release: no older one works beside it"
#: Migrations that break the rule, and why that does no harm. A removal is named here with the release that stopped
#: using what it removes.
EXCEPTIONS = {
    ("jobs", "0003_audit_details_copies_and_acts"): UNRELEASED,
    ("jobs", "0004_failures_and_waits"): UNRELEASED,
    ("jobs", "0005_failures_of_before"): UNRELEASED,
    ("jobs", "0007_deaths_are_found"): UNRELEASED,
    ("jobs", "0008_cron_firings"): UNRELEASED,
    ("jobs", "0009_dead_letters_by_campaign"): UNRELEASED,
    ("jobs", "0010_indexes_of_one_state"): UNRELEASED,
    ("jobs", "0011_sending_begins"): UNRELEASED,
    ("jobs", "0012_texts_as_long_as_the_contract_allows"): UNRELEASED,
    ("jobs", "0013_names"): "renames in Python only: it names the old tables and columns",
    ("monitoring", "0002_names"): "renames in Python only: it names the old tables and columns",
}


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], list[str]]:
    """The faults of each of our migrations."""
    loader = MigrationLoader(None)
    return {
        key: faults_of(loader.graph.nodes[key], loader.project_state(key, at_end=False))
        for key in loader.graph.nodes
        if key[0] in OURS
    }


def test_no_migration_breaks_or_blocks_the_previous_release(found: dict[tuple[str, str], list[str]]) -> None:
    """Except those whose reason is given."""
    faults = [
        f"{app}.{name}: {fault}" for (app, name), of in found.items() if (app, name) not in EXCEPTIONS for fault in of
    ]

    assert not faults, "\n".join([*faults, "See docs/deploying.md, Upgrade."])


def test_every_listed_exception_is_needed(found: dict[tuple[str, str], list[str]]) -> None:
    """None is left for a migration that is gone or keeps the rule."""
    assert [key for key in EXCEPTIONS if not found.get(key)] == []


#: Its column comes first, and the table is small; a later migration removes its index.
HALF_DONE = {("jobs", "0018_households")}


def test_a_migration_can_be_run_again_after_an_interruption() -> None:
    """A lock that is not to be had, or a crash, between two operations without a transaction stops no upgrade."""
    nodes = MigrationLoader(None).graph.nodes
    half_done = {key: found for key in nodes if key[0] in OURS and (found := half_done_of(nodes[key]))}

    assert {key: found for key, found in half_done.items() if key not in HALF_DONE} == {}
    assert half_done.keys() >= HALF_DONE


ROW: list[tuple[str, models.Field[Any, Any]]] = [
    ("id", models.BigAutoField(primary_key=True)),
    ("name", models.CharField(max_length=10)),
    ("note", models.CharField(max_length=10, null=True)),
]
INDEX = models.Index(fields=["name"], name="row_name")
CHECK = models.CheckConstraint(condition=models.Q(name__gt=""), name="named")


def migration(*operations: Operation, atomic: bool = True) -> Migration:
    """A migration of these operations."""
    made = type("Made", (Migration,), {"operations": list(operations), "atomic": atomic})
    found: Migration = made("0002_made", "jobs")
    return found


def before() -> ProjectState:
    """One table."""
    state = ProjectState()
    state.add_model(ModelState("jobs", "Row", ROW))
    state.add_index("jobs", "row", models.Index(fields=["note"], name="row_note"))
    return state


def step(_apps: Any, _editor: Any) -> int:
    return 0


def add(field: models.Field[Any, Any]) -> Operation:
    return migrations.AddField("row", "added", field)


def alter(name: str, field: models.Field[Any, Any]) -> Operation:
    return migrations.AlterField("row", name, field)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        (migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]), ""),
        (migrations.AlterModelOptions("row", {"verbose_name": "line"}), ""),
        (add(models.IntegerField(null=True)), ""),
        (add(models.IntegerField(db_default=1)), ""),
        (add(models.IntegerField(default=1)), "db_default"),
        (add(models.PositiveIntegerField(db_default=1)), "check"),
        (add(models.IntegerField(null=True, unique=True)), "index"),
        (add(models.IntegerField(null=True, db_index=True)), "index"),
        (add(models.ForeignKey("jobs.Row", models.CASCADE, null=True, db_index=False)), "foreign key"),
        (add(models.ForeignKey("jobs.Row", models.CASCADE, null=True, db_index=False, db_constraint=False)), ""),
        (alter("name", models.CharField(max_length=20, help_text="longer", default="x")), ""),
        (alter("name", models.CharField(max_length=5)), "max_length"),
        (alter("name", models.CharField(max_length=10, null=True)), ""),
        (alter("name", models.CharField(max_length=10, db_index=True)), "db_index"),
        (alter("name", models.CharField(max_length=10, db_column="other")), "db_column"),
        (alter("name", models.IntegerField()), "another type"),
        (alter("note", models.CharField(max_length=10)), "NULL"),
        (AddIndexOnline("row", INDEX), ""),
        (RemoveIndexOnline("row", "row_note"), ""),
        (AddConstraintOnline("row", CHECK), ""),
        (RunInBatches(step), ""),
        (migrations.AddIndex("row", INDEX), "AddIndexOnline"),
        (migrations.RemoveIndex("row", "row_note"), "RemoveIndexOnline"),
        (migrations.AddConstraint("row", CHECK), "AddConstraintOnline"),
        (migrations.RunPython(migrations.RunPython.noop), "RunInBatches"),
        (migrations.RunSQL("SELECT 1"), "next release"),
        (migrations.RemoveField("row", "note"), "next release"),
        (migrations.RenameField("row", "note", "remark"), "next release"),
        (migrations.RenameModel("Row", "Line"), "next release"),
        (migrations.AlterModelTable("row", "line"), "next release"),
        (migrations.DeleteModel("Row"), "next release"),
        (migrations.SeparateDatabaseAndState([migrations.AddIndex("row", INDEX)], []), "AddIndexOnline"),
    ],
    ids=lambda value: value.describe() if isinstance(value, Operation) else None,
)
def test_each_operation_is_judged(operation: Operation, fault: str) -> None:
    """A sentence says what is wrong and what to do instead; none if the previous release works on."""
    (said,) = faults_of(migration(operation, atomic=False), before()) or [""]

    assert fault in said
    assert bool(fault) == bool(said)


def test_a_new_table_may_have_anything() -> None:
    """Nobody uses it yet."""
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.TextField()),
    ]
    index = migrations.AddIndex("new", models.Index(fields=["name"], name="new_name"))

    assert faults_of(migration(migrations.CreateModel("New", fields), index), before()) == []


def test_an_online_operation_in_a_transaction_is_an_error() -> None:
    """It would fail on PostgreSQL only."""
    (said,) = faults_of(migration(AddIndexOnline("row", INDEX)), before())

    assert "atomic = False" in said
