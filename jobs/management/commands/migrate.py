"""Django's migrate, which on PostgreSQL never makes others queue behind a table's lock that it waits for."""

import time
from typing import Any, Final

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections

LOCK_TIMEOUT: Final = "2s"  #: an ALTER TABLE that waits for a lock blocks everybody who asks for the table after it
LOCK_NOT_AVAILABLE: Final = "55P03"  #: PostgreSQL's code; to import psycopg loads libpq, which SQLite does without
TRIES: Final = 100
PAUSE_SECONDS: Final = 3.0  #: others get the table meanwhile


class Command(migrate.Command):
    """Retries when it cannot get a lock; migrations that were applied stay applied."""

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if connection.vendor != "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA temp_store=FILE")  # where it sorts a new index of millions of rows
            super().handle(*args, **options)
            return
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            self._try(*args, **options)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")

    def _try(self, *args: Any, **options: Any) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                super().handle(*args, **options)
                return
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
                self.stderr.write(
                    f"\nAnother transaction holds a lock on the table for more than {LOCK_TIMEOUT} ({error}). "
                    f"Attempt {attempt} of {TRIES}; the next one in {PAUSE_SECONDS:g} s."
                )
                time.sleep(PAUSE_SECONDS)
        raise CommandError(f"A lock was not to be had in {TRIES} attempts: end the transaction that holds it.")
