"""The servers that a run breaks: two Redis behind one address, and the database."""

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row
from redis import Redis

from sandbox.ports import free_port
from sandbox.postgresql import PostgreSQL
from tests.support.environment import FOLDER
from tests.support.one_address import one_address
from tests.support.servers import RedisServer, wait_until

CONNECTIONS = 60  #: max_connections of PostgreSQL: enough for two of each process


class RedisPair:
    """A master and its replica behind one address, as a hoster has them."""

    def __init__(self, name: str, ends: ExitStack) -> None:
        self._ends = ends  #: what ends both
        self.master = self._server(f"{name}/redis-1")
        self.replica = self._server(f"{name}/redis-2")
        self.follow()
        port, self._lead_to = self._ends.enter_context(one_address(self.master.port))
        self.url = f"redis://127.0.0.1:{port}"

    def _server(self, name: str) -> RedisServer:
        server = RedisServer(free_port(), name)
        self._ends.callback(server.stop)
        return server

    @property
    def client(self) -> "Redis":
        """A client of the master."""
        return Redis.from_url(self.master.url, socket_timeout=10)

    def follow(self) -> None:
        """Let the replica follow the master."""
        Redis.from_url(self.replica.url).replicaof("127.0.0.1", self.master.port)

    def fail_over(self) -> None:
        """Make the replica the master once it is in sync. Connections stay with the old master, which is read-only."""
        wait_until(self._in_sync, within_s=30, what="the replica is in sync")
        self.master, self.replica = self.replica, self.master
        self.client.replicaof("NO", "ONE")
        self._lead_to(self.master.port)
        self.follow()

    def _in_sync(self) -> bool:
        return Redis.from_url(self.replica.url).info("replication").get("master_link_status") == "up"


class Database(Protocol):
    """A database that the service uses."""

    url: str

    def read(self, query: str) -> list[dict[str, Any]]:
        """Rows by column."""

    def execute(self, *statements: str) -> None:
        """Execute statements, each by itself."""

    def lock(self) -> Any:
        """Return a connection that holds a lock which the service needs, until it is closed."""

    def close(self) -> None:
        """End it."""


class SQLite:
    """A file."""

    def __init__(self, name: str) -> None:
        self._file: Path = FOLDER / name / "db.sqlite3"
        self.url = f"sqlite:///{self._file}"

    def read(self, query: str) -> list[dict[str, Any]]:
        """Rows by column; ids, times and JSON are texts."""
        with closing(sqlite3.connect(self._file, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def execute(self, *statements: str) -> None:
        """Execute statements, each by itself."""
        with closing(sqlite3.connect(self._file, isolation_level=None, timeout=30)) as connection:
            for statement in statements:
                connection.execute(statement)

    def lock(self) -> "closing[sqlite3.Connection]":
        """Hold the lock of all writers."""
        connection = sqlite3.connect(self._file, isolation_level=None, timeout=30)
        connection.execute("BEGIN EXCLUSIVE")
        return closing(connection)

    def close(self) -> None:
        """Nothing runs."""


class Postgres:
    """A server of its own."""

    def __init__(self) -> None:
        self.server = PostgreSQL(free_port(), f"max_connections={CONNECTIONS}")
        self.url = self.server.url

    def connect(self) -> "psycopg.Connection[Any]":
        """A connection of a superuser."""
        return psycopg.connect(self.url, autocommit=True, connect_timeout=10)

    def read(self, query: str) -> list[dict[str, Any]]:
        """Rows by column."""
        with self.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode()).fetchall()

    def execute(self, *statements: str) -> None:
        """Execute statements, each by itself."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def lock(self) -> "psycopg.Connection[Any]":
        """Lock the jobs' table against all."""
        connection = psycopg.connect(self.url, connect_timeout=10)
        connection.execute("LOCK TABLE jobs_job IN ACCESS EXCLUSIVE MODE")
        return connection

    def close(self) -> None:
        """End it."""
        self.server.close()
