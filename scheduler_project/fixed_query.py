"""Queries that every page makes: Django writes the SQL of each once, which takes ten times as long as to ask it."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.models import QuerySet


class FixedQuery:
    """A query that is the same each time.

    What it returns is as the database has it: texts and numbers are as usual, times and UUIDs are not.
    """

    def __init__(self, build: Callable[[], QuerySet[Any, Any]]) -> None:
        self._build = build

    @cached_property
    def sql(self) -> tuple[str, tuple[Any, ...]]:
        """The SQL and its parameters."""
        sql, parameters = self._build().query.sql_with_params()
        return sql, tuple(parameters)

    def rows(self) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(*self.sql)
            return list(cursor.fetchall())
