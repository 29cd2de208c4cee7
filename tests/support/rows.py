"""Very many rows at once."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import AutoField, Field, JSONField, Model

_PLAIN: Final = frozenset({str, int, bool, float, type(None)})  #: types that databases take as they are


def insert(model: type[Model], rows: Iterable[dict[str, Any]]) -> None:
    """Write rows by the names of their columns; defaults fill the others.

    `bulk_create` makes an object and an expression of each value: it takes five times as long.
    """
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    names = ", ".join(connection.ops.quote_name(field.attname) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    sql = f"INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({names}) VALUES ({places})"  # noqa: S608 - quoted names of columns
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(sql, list(_values(fields, rows)))


def _values(fields: list[Field[Any, Any]], rows: Iterable[dict[str, Any]]) -> Iterator[list[Any]]:
    constant = {field.attname: _prepare(field, field.get_default()) for field in fields if not callable(field.default)}
    for row in rows:
        unknown = row.keys() - {field.attname for field in fields}
        assert not unknown, unknown
        yield [
            _prepare(field, row[field.attname])
            if field.attname in row
            else constant[field.attname]
            if field.attname in constant
            else _prepare(field, field.get_default())
            for field in fields
        ]


def _prepare(field: Field[Any, Any], value: Any) -> Any:
    if type(value) in _PLAIN and not isinstance(field, JSONField):
        return value
    return field.get_db_prep_save(value, connection)


def generate(model: type[Model], number: int, same: dict[str, Any], each: dict[str, str]) -> None:
    """Let the database make rows: with the same values, and `each` as SQL of the row's number, `n`."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    names = ", ".join(connection.ops.quote_name(field.attname) for field in fields)
    values = ", ".join(each.get(field.attname, "%s") for field in fields)
    numbers = "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < %s)"
    into = f"INSERT INTO {connection.ops.quote_name(model._meta.db_table)} ({names})"
    (constants,) = _values([field for field in fields if field.attname not in each], [same])
    with connection.cursor() as cursor:
        cursor.execute(f"{numbers} {into} SELECT {values} FROM numbers", [number, *constants])  # noqa: S608 - a test's own SQL
