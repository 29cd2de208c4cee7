"""What the servers that both sides share have spent: CPU, bytes written, requests answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psutil
import urllib3
from django.db import connection
from redis import Redis


@dataclass(slots=True, kw_only=True)
class Spent:
    """Totals, of a stretch of time or since the servers' start."""

    redis_cpu_s: float = 0.0
    database_cpu_s: float = 0.0  #: 0 on SQLite, whose work is done in our own processes
    bytes_written: float = 0.0  #: to Redis's append-only file, PostgreSQL's log and SQLite's files
    requests: float = 0.0  #: HTTP requests to the main API

    def figures(self, jobs: int) -> Iterator[tuple[str, str, float]]:
        """What each of so many jobs took, as (name, unit, value)."""
        yield "Redis CPU", "s/1,000 jobs", self.redis_cpu_s / jobs * 1000
        yield "database CPU", "s/1,000 jobs", self.database_cpu_s / jobs * 1000
        yield "written", "kB/job", self.bytes_written / jobs / 1000
        yield "HTTP requests", "per job", self.requests / jobs

    def minus(self, earlier: Self) -> "Spent":
        return Spent(
            redis_cpu_s=self.redis_cpu_s - earlier.redis_cpu_s,
            database_cpu_s=self.database_cpu_s - earlier.database_cpu_s,
            bytes_written=self.bytes_written - earlier.bytes_written,
            requests=self.requests - earlier.requests,
        )


@dataclass(slots=True)
class Servers:
    """Redis, the database and the sandbox."""

    redis_url: str
    api_url: str
    _redis: Redis = field(init=False)
    _redis_process: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        self._redis = Redis.from_url(self.redis_url, socket_timeout=600)
        # A rewrite would make the file smaller, so that what was written could not be told from its size.
        self._redis.config_set("auto-aof-rewrite-percentage", 0)
        self._redis_process = psutil.Process(int(self._redis.info("server")["process_id"]))

    @contextmanager
    def measured(self) -> Iterator[Spent]:
        """Yield what is spent in the block; it is filled in at the block's end."""
        spent, before = Spent(), self.read()
        yield spent
        after = self.read().minus(before)
        for name in Spent.__slots__:
            setattr(spent, name, getattr(spent, name) + getattr(after, name))

    def read(self) -> Spent:
        """What was spent since the servers' start."""
        if connection.vendor == "postgresql":
            database_cpu_s, database_bytes = _postgresql()
        else:  # what this process has written itself; of others it is added to what they spend
            database_cpu_s, database_bytes = 0.0, float(psutil.Process().io_counters().write_chars)
        file_bytes = float(self._redis.info("persistence")["aof_current_size"])
        return Spent(
            redis_cpu_s=_cpu_s(self._redis_process),
            database_cpu_s=database_cpu_s,
            bytes_written=database_bytes + file_bytes,
            requests=self.read_requests(),
        )

    def read_requests(self) -> float:
        """How many the main API has answered."""
        url = urlunsplit(urlsplit(self.api_url)._replace(path="/control/stats"))
        return float(urllib3.request("GET", url, timeout=60).json()["requests"])


def _postgresql() -> tuple[float, float]:
    """CPU seconds of all of the server's processes, and bytes of its write-ahead log."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
        pid, written = cursor.fetchone()
    server = psutil.Process(pid).parent()
    if server is None:
        raise psutil.NoSuchProcess(pid)
    processes = (*server.children(), server)  # the server last: by then it has the time of those that have ended
    return sum(map(_cpu_s, processes)), float(written)


def _cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and of its children that have ended; none of one that has ended itself."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
