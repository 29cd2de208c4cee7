"""Threads of one process take turns to write to a database file.

SQLite has one writer at a time. A thread that finds it busy sleeps, for up to 100 ms, and tries again: with several
that write all the time, the file is idle while they sleep. In one process they can wake each other at once. Between
processes it stays as it is.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db.backends.sqlite3 import base

_TURNS: Final[defaultdict[str, threading.Lock]] = defaultdict(threading.Lock)  #: by file


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that waits for its turn before it begins a transaction."""

    _turn: "threading.Lock | None" = None

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """See BaseDatabaseWrapper: atomic() begins its transaction so. Raises OperationalError after the timeout."""
        if autocommit or self._turn is not None:
            super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
            if autocommit:
                self._end_turn()  # of a transaction that was neither committed nor rolled back
            return
        begin = super().set_autocommit
        self._begin_in_turn(lambda: begin(autocommit, force_begin_transaction_with_broken_autocommit))

    @contextmanager
    def raw_transaction(self) -> Iterator[None]:
        """A transaction of statements on the raw connection, at a quarter of what atomic() costs.

        Call it outside of atomic(), and use neither atomic() nor on_commit() in it: Django does not know of it. Raises
        sqlite3's errors.
        """
        raw = self.connection
        self._begin_in_turn(lambda: raw.execute("BEGIN IMMEDIATE"))
        try:
            yield
            raw.execute("COMMIT")
        finally:
            try:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
            finally:
                self._end_turn()

    def _begin_in_turn(self, begin: Callable[[], object]) -> None:
        """Wait for the turn, and begin a transaction; the turn ends at once if it cannot begin."""
        turn = _TURNS[str(self.settings_dict["NAME"])]
        in_time = turn.acquire(blocking=False) or turn.acquire(timeout=self._timeout_s)
        if in_time:
            self._turn = turn
        else:  # begin at once, or have SQLite's own error
            self._set_busy_timeout(0)
        try:
            begin()
        except BaseException:
            self._end_turn()
            raise
        finally:
            if not in_time:
                self._set_busy_timeout(self._timeout_s)

    @property
    def _timeout_s(self) -> float:
        return float(self.settings_dict["OPTIONS"]["timeout"])

    def _set_busy_timeout(self, seconds: float) -> None:
        with self.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def commit(self) -> None:
        """See BaseDatabaseWrapper. If it fails, the transaction goes on, and so does the turn."""
        super().commit()
        self._end_turn()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self._end_turn()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._end_turn()

    def __del__(self) -> None:
        self._end_turn()

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()
