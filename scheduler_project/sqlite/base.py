"""Threads of one process take turns to write to a database file, and look often whether another process still writes.

SQLite has one writer at a time. A thread that finds it busy sleeps, 1, 2, 5 and up to 100 ms, and tries again: with
several that write all the time, the file is idle while they sleep. In one process they can wake each other at once. A
process that finds another one writing looks again after POLL_S, and then after a tenth of what it has waited.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from scheduler_project.sqlite.checkpoints import POLL_S, Checkpoints


class _File:
    """What the connections of this process to one file share."""

    def __init__(self, name: str) -> None:
        self.turn = threading.Lock()
        self.checkpoints = Checkpoints(name)


class _Files(dict[str, _File]):
    """By name; setdefault, so that two threads get the same."""

    def __missing__(self, name: str) -> _File:
        return self.setdefault(name, _File(name))


_FILES: Final = _Files()


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that waits for its turn before it begins a transaction."""

    _has_turn_of: _File | None = None
    _changes = 0  # rows that this connection had changed before its turn

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """See BaseDatabaseWrapper: atomic() begins its transaction so. Raises OperationalError after the timeout."""
        if autocommit or self._has_turn_of is not None:
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
        self._begin_in_turn(lambda: self.connection.execute("BEGIN IMMEDIATE"))
        raw = self.connection
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
        """Wait for the turn, and begin a transaction; the turn ends at once if it cannot begin.

        `begin` raises SQLite's own error after the timeout, whether a thread of this process writes or another process.
        """
        self.ensure_connection()
        file = _FILES[str(self.settings_dict["NAME"])]
        in_time = file.turn.acquire(blocking=False) or file.turn.acquire(timeout=self._timeout_s)
        if in_time:
            self._has_turn_of, self._changes = file, self.connection.total_changes
        try:
            self._begin_within(self._timeout_s if in_time else 0.0, begin)
        except BaseException:
            self._end_turn()
            raise

    def _begin_within(self, seconds: float, begin: Callable[[], object]) -> None:
        """Begin as soon as no other process writes."""
        began = time.monotonic()
        self._set_busy_timeout(0)
        try:
            while True:
                try:
                    begin()
                    return
                except (sqlite3.OperationalError, OperationalError) as error:
                    waited = time.monotonic() - began
                    if not _is_busy(error) or waited >= seconds:
                        raise
                time.sleep(min(max(POLL_S, waited / 10), seconds - waited))
        finally:
            self._set_busy_timeout(self._timeout_s)

    @property
    def _timeout_s(self) -> float:
        return float(self.settings_dict["OPTIONS"]["timeout"])

    def _set_busy_timeout(self, seconds: float) -> None:
        self.connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

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
        self.connection = None  # nothing was committed
        self._end_turn()

    def _end_turn(self) -> None:
        file, self._has_turn_of = self._has_turn_of, None
        if file is None:
            return
        try:
            if self.connection is not None and not self.closed_in_transaction:  # otherwise nothing was committed
                file.checkpoints.note(self.connection.total_changes - self._changes)
        finally:
            file.turn.release()


def _is_busy(error: Exception) -> bool:
    """Whether another connection is writing. SQLITE_BUSY_SNAPSHOT lasts until this one ends its own query."""
    code = getattr(error.__cause__ or error, "sqlite_errorcode", 0)
    return bool(code & 0xFF == sqlite3.SQLITE_BUSY and code != sqlite3.SQLITE_BUSY_SNAPSHOT)
