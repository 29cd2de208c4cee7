"""Partial indexes as each planner uses them best, and conditions that let it use them."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.models import ExpressionWrapper, Q
from django.db.models.sql.compiler import SQLCompiler

if TYPE_CHECKING:
    Wrapper = ExpressionWrapper[Q]
else:
    Wrapper = ExpressionWrapper


class OfOneState(models.Index):
    """A partial index of one state's rows, with the state as its first column: SQLite counts the columns that match.

    In PostgreSQL without that column. Its planner drops a condition that the index's own implies, so that the first
    column would be bound by nothing, and each look into the index would read all of it.
    """

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any
    ) -> Statement:
        if schema_editor.connection.vendor != "postgresql":
            return super().create_sql(model, schema_editor, using, **kwargs)
        rest = models.Index(fields=self.fields[1:], name=self.name, condition=self.condition)
        return rest.create_sql(model, schema_editor, using, **kwargs)


class NewestLast(models.Index):
    """An index of rows from the newest to the oldest, which SQLite keeps in ascending order and reads backwards.

    Where each new row is the first of its group, SQLite moves entries between full pages at almost every one. Not for
    `job_by_state`: in descending order the oldest queued job, the running ones and the newest end are neighbours, so
    that a claim and an end write one page of it. PostgreSQL gains nothing, so its indexes stay as they were.
    """

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any
    ) -> Statement:
        if schema_editor.connection.vendor == "postgresql":
            return super().create_sql(model, schema_editor, using, **kwargs)
        rest = models.Index(fields=[name for name, _ in self.fields_orders], name=self.name, condition=self.condition)
        return rest.create_sql(model, schema_editor, using, **kwargs)


class Inlined(Wrapper):
    """A condition with its values written into the SQL, as Django writes a partial index's own.

    A planner takes a partial index only where it can see that the query implies the index's condition, which it cannot
    while a value is a parameter. Each value makes a separate statement, so this is for constants.
    """

    def __init__(self, condition: Q) -> None:
        super().__init__(condition, output_field=models.BooleanField())

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        """The condition without parameters."""
        sql, params = super().as_sql(compiler, connection)
        # What remains passes through the driver's own formatting once more, so each % is doubled.
        return sql.replace("%%", "%%%%") % tuple(_literal(value) for value in params), ()


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''").replace("%", "%%") + "'"
    if isinstance(value, int):
        return str(int(value))
    raise TypeError(f"{value!r} is neither text nor a whole number")
