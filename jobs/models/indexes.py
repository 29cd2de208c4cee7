"""Indexes that each database is to have as its planner uses them best."""

from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement


class OfOneState(models.Index):
    """A partial index of one state's rows, with the state as its first column: SQLite counts the columns that match.

    In PostgreSQL without that column. Its planner drops a condition that the index's own implies, so that the first
    column would be bound by nothing, and each look into the index would read all of it.
    """

    def create_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, using: str = "", **kwargs: Any
    ) -> Statement:
        """As Django's own."""
        if schema_editor.connection.vendor != "postgresql":
            return super().create_sql(model, schema_editor, using, **kwargs)
        rest = models.Index(fields=self.fields[1:], name=self.name, condition=self.condition)
        return rest.create_sql(model, schema_editor, using, **kwargs)
