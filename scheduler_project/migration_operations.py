"""Migration operations that let the release before go on reading and writing: see docs/deploying.md, Upgrade.

On PostgreSQL they take no lock that blocks writers, so they run outside of a transaction: their migration says
`atomic = False`. Each can be run again after it was interrupted. On SQLite, which has one writer anyway, they do what
Django's own operations do.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps.registry import Apps
from django.db import NotSupportedError, models, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import AddConstraint, AddIndex, RemoveIndex, RunPython
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

Step = Callable[[Apps, BaseDatabaseSchemaEditor], int]


class AddIndexOnline(AddIndex):
    """Build an index while others write; an invalid index that an interrupted build left is built again."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        _add_index(to_state.apps.get_model(app_label, self.model_name), self.index, self, schema_editor)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        _remove_index(from_state.apps.get_model(app_label, self.model_name), self.index, self, schema_editor)


class RemoveIndexOnline(RemoveIndex):
    """Drop an index while others read and write."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        index = _index_of(from_state, app_label, self)
        _remove_index(from_state.apps.get_model(app_label, self.model_name), index, self, schema_editor)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        index = _index_of(to_state, app_label, self)
        _add_index(to_state.apps.get_model(app_label, self.model_name), index, self, schema_editor)


class AddConstraintOnline(AddConstraint):
    """Add a check for new rows at once, then check the rows that are there without a lock that blocks writers."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        table, name = model._meta.db_table, schema_editor.quote_name(self.constraint.name)
        if not _is_postgresql(schema_editor):
            if self.constraint.name not in _constraints(table, schema_editor):
                with transaction.atomic(using=schema_editor.connection.alias):  # the table is built anew
                    schema_editor.add_constraint(model, self.constraint)
            return
        if self.constraint.name not in _constraints(table, schema_editor):
            schema_editor.execute(f"{self.constraint.create_sql(model, schema_editor)} NOT VALID", params=None)
        with _online(self, schema_editor):
            schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(table)} VALIDATE CONSTRAINT {name}")


class RunInBatches(RunPython):
    """Call `step` until it returns 0; each call is a transaction of its own, so it should take well under a second.

    `step` finds by itself what is left, for it starts over after an interruption.
    """

    atomic = False

    def __init__(self, step: Step) -> None:
        self.step = step
        super().__init__(self._run, RunPython.noop, atomic=False)

    def deconstruct(self) -> Any:
        return type(self).__name__, [self.step], {}

    def _run(self, apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
        more = 1
        while more:
            with transaction.atomic(using=schema_editor.connection.alias):
                more = self.step(apps, schema_editor)


def _add_index(
    model: type[models.Model], index: models.Index, operation: Operation, schema_editor: BaseDatabaseSchemaEditor
) -> None:
    if not _is_postgresql(schema_editor):
        if index.name not in _constraints(model._meta.db_table, schema_editor):
            schema_editor.add_index(model, index)
        return
    with _online(operation, schema_editor), schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [f'"{index.name}"'])
        found = cursor.fetchone()
        if found == (True,):
            return
        editor: Any = schema_editor  # only PostgreSQL's knows `concurrently`
        if found:
            editor.remove_index(model, index, concurrently=True)
        editor.add_index(model, index, concurrently=True)


def _remove_index(
    model: type[models.Model], index: models.Index, operation: Operation, schema_editor: BaseDatabaseSchemaEditor
) -> None:
    if not _is_postgresql(schema_editor):
        if index.name in _constraints(model._meta.db_table, schema_editor):
            schema_editor.remove_index(model, index)
        return
    with _online(operation, schema_editor):
        editor: Any = schema_editor
        editor.remove_index(model, index, concurrently=True)  # IF EXISTS


def _index_of(state: ProjectState, app_label: str, operation: RemoveIndex) -> models.Index:
    index: models.Index = state.models[app_label, operation.model_name.lower()].get_index_by_name(operation.name)
    return index


@contextmanager
def _online(operation: Operation, schema_editor: BaseDatabaseSchemaEditor) -> Iterator[None]:
    """Wait for others' transactions as long as they take: nobody waits behind this one, unlike an ALTER TABLE."""
    if schema_editor.connection.in_atomic_block:
        raise NotSupportedError(f"{operation.describe()}: set atomic = False on the migration")
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        (before,) = cursor.fetchone()
        cursor.execute("SET lock_timeout = 0")
        try:
            yield
        finally:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])


def _constraints(table: str, schema_editor: BaseDatabaseSchemaEditor) -> Any:
    with schema_editor.connection.cursor() as cursor:
        return schema_editor.connection.introspection.get_constraints(cursor, table)


def _is_postgresql(schema_editor: BaseDatabaseSchemaEditor) -> bool:
    return schema_editor.connection.vendor == "postgresql"
