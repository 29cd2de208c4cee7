"""What a migration may do while the release before works on: the rule of docs/deploying.md, Upgrade."""

from collections.abc import Iterator
from typing import Any

from django.db import models
from django.db.migrations import Migration
from django.db.migrations.operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelManagers,
    AlterModelOptions,
    CreateModel,
    RemoveIndex,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from scheduler_project.migration_operations import AddConstraintOnline, AddIndexOnline, RemoveIndexOnline, RunInBatches

Field = models.Field[Any, Any]
ONLINE = (AddIndexOnline, RemoveIndexOnline, AddConstraintOnline, RunInBatches)
HARMLESS = (CreateModel, AlterModelOptions, AlterModelManagers, *ONLINE)
INSTEAD: dict[type[Operation], str] = {
    AddIndex: "blocks writers on PostgreSQL: use AddIndexOnline",
    RemoveIndex: "waits for every reader and blocks all who come after: use RemoveIndexOnline",
    AddConstraint: "blocks writers on PostgreSQL while it reads the table: use AddConstraintOnline",
}
UNSEEN = {*models.Field.non_db_attrs, "default"} - {"db_column"}  #: attributes of which the database knows nothing


def faults_of(migration: Migration, state: ProjectState) -> list[str]:
    """A sentence for each operation that blocks the release before, or that it cannot work with.

    `state` is the project's before the migration.
    """
    faults, created = [], set[str]()
    for operation in migration.operations:
        name = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        if isinstance(operation, CreateModel):
            created.add(name)
        elif name not in created:  # nobody reads or writes a new table yet
            faults += [f"{operation.describe()}: {fault}." for fault in _faults(operation, migration, state)]
        state = state.clone()
        operation.state_forwards(migration.app_label, state)
    return faults


def half_done_of(migration: Migration) -> list[str]:
    """The operations that an interruption leaves done, after which the migration cannot be run again."""
    return [] if migration.atomic else [o.describe() for o in migration.operations if not _can_be_run_again(o)]


def _can_be_run_again(operation: Operation) -> bool:
    if isinstance(operation, SeparateDatabaseAndState):
        return all(map(_can_be_run_again, operation.database_operations))
    return isinstance(operation, (*ONLINE, AlterModelOptions, AlterModelManagers))


def _faults(operation: Operation, migration: Migration, state: ProjectState) -> Iterator[str]:
    if isinstance(operation, ONLINE):
        if migration.atomic:
            yield "needs atomic = False on the migration"
    elif isinstance(operation, AddField):
        yield from _faults_of_new(operation.field)
    elif isinstance(operation, AlterField):
        before = state.models[migration.app_label, operation.model_name_lower].get_field(operation.name)
        yield from _faults_of_changed(before, operation.field)
    elif isinstance(operation, SeparateDatabaseAndState):
        for inner in operation.database_operations:
            yield from _faults(inner, migration, state)
    elif not isinstance(operation, HARMLESS):
        instead = "breaks the release before, or holds locks for as long as it takes: add, copy with RunInBatches, "
        yield INSTEAD.get(type(operation), f"{instead}and remove in the next release")


def _faults_of_new(field: Field) -> Iterator[str]:
    if not field.null and not field.has_db_default() and not field.many_to_many:
        yield "the release before inserts rows without it: give it a db_default, or null=True"
    if field.unique or getattr(field, "db_index", False):
        yield "its index blocks writers on PostgreSQL: add it with AddIndexOnline"
    if getattr(field, "db_constraint", False):
        yield "its foreign key blocks writers of both tables: use db_constraint=False"
    if isinstance(
        field, models.PositiveIntegerField | models.PositiveSmallIntegerField | models.PositiveBigIntegerField
    ):
        yield "PostgreSQL reads the whole table for its check under a lock: use a field without a check"


def _faults_of_changed(before: Field, after: Field) -> Iterator[str]:
    was, now = ({k: v for k, v in f.deconstruct()[3].items() if k not in UNSEEN} for f in (before, after))
    if before.null and not after.null:
        yield "the release before writes NULL, and PostgreSQL reads the whole table under a lock"
    longer = (was.get("max_length") or 0) <= (now.get("max_length") or 0) or now.get("max_length") is None
    for seen in (was, now):
        for name in ("null", "db_default", *(("max_length",) if longer else ())):
            seen.pop(name, None)
    if before.deconstruct()[1] != after.deconstruct()[1]:
        yield "another type rewrites the table under a lock: add a column, copy with RunInBatches"
    elif was != now:
        yield f"the database changes ({sorted(set(was.items()) ^ set(now.items()))}): add a column instead"
