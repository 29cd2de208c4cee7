"""A quick flush: tables are emptied row by row, and the rows of a fresh database are written back as they were."""

from collections.abc import Callable
from typing import Any, Final

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Model

#: What no test changes stays; the permissions are most of the rows.
KEPT: Final = (ContentType, Permission)


def flush_statements(*_: Any, **__: Any) -> list[str]:
    """The statements of a flush. TRUNCATE makes PostgreSQL write new files for each table and index, however few rows
    there are.
    """
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    kept = {model._meta.db_table for model in KEPT}
    quote = connection.ops.quote_name
    return [f"DELETE FROM {quote(name)}" for name in tables if name not in kept]  # noqa: S608 - our tables


def remember() -> Callable[..., None]:
    """Flush the database and note what `post_migrate` puts in; a function that writes just that into an emptied one.

    The signal itself compares each permission of each model with the database, which takes most of a small test's time.
    """
    call_command("flush", verbosity=0, interactive=False)
    tables = [m for m in apps.get_models(include_auto_created=True) if m._meta.managed and not m._meta.proxy]
    inserts = [(_insert(model), rows) for model in tables if model not in KEPT and (rows := _rows(model))]

    def write(*_: Any, **__: Any) -> None:
        with transaction.atomic(), connection.constraint_checks_disabled(), connection.cursor() as cursor:
            for insert, rows in inserts:
                cursor.executemany(insert, rows)

    return write


def _insert(model: type[Model]) -> str:
    names = [connection.ops.quote_name(str(field.column)) for field in model._meta.local_concrete_fields]
    table = connection.ops.quote_name(model._meta.db_table)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"  # noqa: S608 - names


def _rows(model: type[Model]) -> list[list[Any]]:
    fields = model._meta.local_concrete_fields
    rows = model._base_manager.order_by("pk").values_list(*(field.attname for field in fields))
    return [[f.get_db_prep_save(v, connection) for f, v in zip(fields, row, strict=True)] for row in rows]
