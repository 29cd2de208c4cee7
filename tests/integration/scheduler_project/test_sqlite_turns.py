"""Threads take turns to write to SQLite, and no turn is lost; other processes and the log cost no writer much time."""

import gc
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import deepcopy
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import NoReturn

import pytest
from django.db import OperationalError, connections
from pytest_django import DjangoDbBlocker
from structlog.testing import capture_logs

from scheduler_project.database import Timeouts, database_settings
from scheduler_project.sqlite import checkpoints
from scheduler_project.sqlite.base import DatabaseWrapper
from scheduler_project.sqlite.checkpoints import Checkpoints
from tests.support.servers import wait_until

PATIENCE_MS = 60_000


@pytest.fixture(autouse=True)
def _own_database(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The connections here are to files of their own."""
    with django_db_blocker.unblock():
        yield


def connect(file: Path, *, patience_ms: int = PATIENCE_MS) -> DatabaseWrapper:
    settings = deepcopy(connections.settings["default"])
    settings |= database_settings(f"sqlite:///{file}", 1, Timeouts(statement_ms=0, lock_ms=patience_ms))
    connection = DatabaseWrapper(settings, "default")
    connection.inc_thread_sharing()
    return connection


def begin(connection: DatabaseWrapper) -> None:
    connection.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)


def execute(connection: DatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def write(connection: DatabaseWrapper, times: int) -> None:
    for _ in range(times):
        begin(connection)
        execute(connection, "UPDATE counts SET count = count + 1")
        connection.commit()
        connection.set_autocommit(True)
    connection.close()


def count_of(file: Path) -> int:
    with connect(file).cursor() as cursor:
        cursor.execute("SELECT count FROM counts")
        return int(cursor.fetchone()[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with one row."""
    file = tmp_path / "turns.sqlite3"
    connection = connect(file)
    execute(connection, "CREATE TABLE counts (count INTEGER CHECK (count >= 0))")
    execute(connection, "INSERT INTO counts VALUES (0)")
    connection.close()
    return file


def test_every_write_of_every_thread_is_done(file: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, [connect(file) for _ in range(8)], [50] * 8))
    assert count_of(file) == 8 * 50


def commit(connection: DatabaseWrapper) -> None:
    connection.commit()


def roll_back(connection: DatabaseWrapper) -> None:
    connection.rollback()


def close(connection: DatabaseWrapper) -> None:
    connection.close()


def close_within_atomic(connection: DatabaseWrapper) -> None:
    """Django keeps the closed connection until the block ends."""
    connection.in_atomic_block = True
    connection.close()


def fail_to_write_and_roll_back(connection: DatabaseWrapper) -> None:
    with pytest.raises(Exception, match="CHECK"):
        execute(connection, "UPDATE counts SET count = -1")
    connection.rollback()


def turn_autocommit_on(connection: DatabaseWrapper) -> None:
    connection.set_autocommit(True)
    connection.close()


def raw_write(connection: DatabaseWrapper) -> None:
    connection.rollback()
    connection.set_autocommit(True)
    with connection.raw_transaction():
        connection.connection.execute("UPDATE counts SET count = count + 1")
        connection.connection.execute("UPDATE counts SET count = count - 1")
    connection.close()


def fail_a_raw_write(connection: DatabaseWrapper) -> None:
    """Nothing of it is written."""
    connection.rollback()
    connection.set_autocommit(True)
    statements = "UPDATE counts SET count = count + 1", "UPDATE counts SET count = -1"
    with pytest.raises(sqlite3.IntegrityError), connection.raw_transaction():
        list(map(connection.connection.execute, statements))
    assert not connection.connection.in_transaction


def abandon(connection: DatabaseWrapper) -> None:
    """As a thread that ends within a transaction: nobody refers to its connection any more."""


ENDS = [
    commit,
    roll_back,
    close,
    close_within_atomic,
    fail_to_write_and_roll_back,
    turn_autocommit_on,
    raw_write,
    fail_a_raw_write,
    abandon,
]


@pytest.mark.parametrize("end", ENDS)
def test_the_next_thread_need_not_wait(file: Path, end: Callable[[DatabaseWrapper], None]) -> None:
    first = connect(file)
    begin(first)
    end(first)
    del first
    if end is abandon:
        gc.collect()
    began = time.monotonic()
    write(connect(file), 1)
    assert time.monotonic() - began < PATIENCE_MS / 2000
    assert count_of(file) == 1


def test_whoever_waits_too_long_gets_sqlites_own_error(file: Path) -> None:
    first, second = connect(file), connect(file, patience_ms=100)
    begin(first)
    with pytest.raises(OperationalError, match="locked"):
        begin(second)
    second.set_autocommit(True)
    with pytest.raises(sqlite3.OperationalError, match="locked"), second.raw_transaction():
        pytest.fail("it has not begun")
    first.rollback()
    write(second, 1)
    assert count_of(file) == 1


def test_who_reads_what_has_changed_since_does_not_wait_in_vain(file: Path) -> None:
    """It can never begin while it reads, and nobody else could meanwhile."""
    mine = connect(file)
    write(connect(file), 1)
    execute(mine, "INSERT INTO counts VALUES (7)")
    with closing(mine.connection.execute("SELECT count FROM counts")) as reading:
        assert reading.fetchone() == (1,)
        write(connect(file), 1)
        began = time.monotonic()
        with pytest.raises(OperationalError, match="locked"):
            begin(mine)
    assert time.monotonic() - began < PATIENCE_MS / 2000


@pytest.mark.parametrize("is_raw", [False, True])
def test_another_process_need_not_sleep_long_after_a_writer_ends(
    file: Path, is_raw: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain connection stands for another process: it takes no turns. SQLite itself would sleep 1, 2, 5 ms and more.

    The sleeps are counted, not timed: on a busy machine they take longer.
    """
    other, mine = sqlite3.connect(file, isolation_level=None), connect(file)
    mine.ensure_connection()
    sleeps: list[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 3:
            other.execute("COMMIT")

    monkeypatch.setattr(time, "sleep", sleep)
    other.execute("BEGIN IMMEDIATE")
    if is_raw:
        raw_write_once(mine)
    else:
        write(mine, 1)
    assert len(sleeps) == 3
    assert sleeps[0] == checkpoints.POLL_S
    assert count_of(file) == 1
    other.close()


@pytest.mark.parametrize("patience_ms", [1, 30, 100, 2000, 10_000])
def test_the_looks_for_another_process_end_with_the_timeout(
    file: Path, patience_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one is not later. A sleep moves the clock here, so that nobody waits."""
    other, mine = sqlite3.connect(file, isolation_level=None), connect(file, patience_ms=patience_ms)
    other.execute("BEGIN IMMEDIATE")
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.append(clock.pop() + seconds))
    with pytest.raises(sqlite3.OperationalError, match="locked"), mine.raw_transaction():
        pytest.fail("it has not begun")
    assert clock[0] == pytest.approx(patience_ms / 1000)
    other.close()


def test_the_timeout_for_other_statements_stays(file: Path) -> None:
    """Statements outside of transactions wait for a writer as SQLite does."""
    connection = connect(file, patience_ms=1234)
    with connection.raw_transaction():
        pass
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (1234,)


def raw_write_once(connection: DatabaseWrapper) -> None:
    with connection.raw_transaction():
        connection.connection.execute("UPDATE counts SET count = count + 1")


def count_without_log(file: Path) -> int:
    """What the file has by itself."""
    copy = file.with_suffix(".copy")
    shutil.copyfile(file, copy)
    with closing(sqlite3.connect(copy)) as connection:
        return int(connection.execute("SELECT count FROM counts").fetchone()[0])


@pytest.mark.parametrize("is_forked", [False, True], ids=["this process", "a forked process"])
def test_what_was_written_gets_into_the_file(file: Path, is_forked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked process, which has none of its parent's threads, starts its own."""
    monkeypatch.setattr(checkpoints, "PAGES", 100)
    reader = connect(file)  # while there is another connection, the last commit of one leaves the log as it is
    reader.ensure_connection()
    write(connect(file), 20)
    wait_until(lambda: count_without_log(file) > 0)
    if not is_forked:
        return
    child = get_context("fork").Process(target=write_and_wait, args=[file])
    child.start()
    child.join()
    assert child.exitcode == 0


def test_a_thread_that_cannot_start_fails_no_commit(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that ends, or has too many."""

    def fail(thread: Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(checkpoints, "PAGES", 1)
    monkeypatch.setattr(Thread, "start", fail)
    with capture_logs() as logs:
        write(connect(file), 2)
    assert [entry["event"] for entry in logs] == ["sqlite.checkpoint_failed"] * 2
    assert count_of(file) == 2


def write_and_wait(file: Path) -> None:
    write(connect(file), 20)
    wait_until(lambda: count_without_log(file) > 20)


def test_the_log_stays_short_however_long_two_write(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain connection stands for another process. A transaction adds a page or more to the log."""
    monkeypatch.setattr(checkpoints, "PAGES", 100)
    monkeypatch.setattr(checkpoints, "LONG", 200)
    mine, other = connect(file), sqlite3.connect(file, isolation_level=None, timeout=PATIENCE_MS / 1000)
    other.execute("PRAGMA wal_autocheckpoint=0")
    for _ in range(2000):
        raw_write_once(mine)
        other.execute("UPDATE counts SET count = count + 1")
    assert count_of(file) == 4000
    assert pages_of_log(file) < 2000


def pages_of_log(file: Path) -> int:
    return Path(f"{file}-wal").stat().st_size // 4096


@pytest.mark.parametrize("rows", [1_000_000, 1_000_000 - 2**32], ids=["many", "the counter has started again"])
def test_after_an_error_the_next_checkpoint_is_made(tmp_path: Path, rows: int) -> None:
    """The thread goes on."""
    file = tmp_path / "later.sqlite3"
    of_file = Checkpoints(str(file))
    with capture_logs() as logs:
        of_file.note(rows)
        wait_until(lambda: logs)
    assert [entry["event"] for entry in logs] == ["sqlite.checkpoint_failed"]
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE counts (count INTEGER)")
        connection.execute("INSERT INTO counts VALUES (7)")
        of_file.note(rows)
        wait_until(lambda: has_count(file))


def has_count(file: Path) -> bool:
    try:
        return count_without_log(file) == 7
    except sqlite3.OperationalError:  # it has no table yet
        return False
