"""Checkpoints beside the writers.

In WAL mode, the commit after which the log has so many pages copies them into the file, and waits for the disk: due
jobs are late by 10 ms. A thread of the process does it earlier, while others read and write. SQLite never restarts a
log that is always written to: once it is long, the thread copies the last few pages while the writers wait.
"""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)
PAGES: Final = 4000  #: that this process may have written since its last checkpoint, 16 MB
LONG: Final = 2 * PAGES  #: pages of the log
PAGES_OF_TRANSACTION: Final = 10  #: at least: the indexes of one job
ROWS_OF_PAGE: Final = 4
TRIES: Final = 100  #: to find a moment in which nobody writes, or reads from the log
POLL_S: Final = 0.00025  #: between two looks whether another process writes: as long as a short transaction takes


class Checkpoints:
    """Checkpoints of one file, by a thread that starts when it is first needed."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._pages = 0.0
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, rows: int) -> None:
        """Count a transaction that has changed so many rows, by SQLite's counter, which has 32 bits.

        Call it while no other thread does.
        """
        self._pages += PAGES_OF_TRANSACTION + rows % 2**32 / ROWS_OF_PAGE
        if self._pages < PAGES:
            return
        self._pages = 0.0
        self._wanted.set()
        if self._thread is None or not self._thread.is_alive():  # a forked process has none
            self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:  # there are too many, or the process ends: the transaction is committed
                _warn(error)

    def _run(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            try:
                checkpoint(self._file)
            except sqlite3.Error as error:
                _warn(error)


def _warn(error: Exception) -> None:
    log.warning("sqlite.checkpoint_failed", error=str(error), next="a commit does it")


def checkpoint(file: str) -> None:
    """Copy the log's pages into the file, and restart a long log. Raises sqlite3.Error."""
    uri = f"{Path(file).absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)) as connection:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        for _ in range(TRIES if pages >= LONG else 0):
            is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            if not is_busy:
                return
            time.sleep(POLL_S)
