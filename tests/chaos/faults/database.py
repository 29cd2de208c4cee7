"""A database that is locked, away, read-only or full of connections."""

import time
from contextlib import ExitStack, suppress
from random import Random
from typing import Final

import psycopg

from tests.chaos.faults.fault import Fault
from tests.chaos.stores import Postgres
from tests.chaos.world import World

_TERMINATE: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


def _lock(world: World, random: Random, lasts_s: float) -> None:
    with world.database.lock():
        time.sleep(lasts_s * 2)


def _postgres(world: World) -> Postgres:
    assert isinstance(world.database, Postgres)
    return world.database


def _restart(world: World, random: Random, lasts_s: float) -> None:
    server = _postgres(world).server
    server.stop("fast")
    time.sleep(lasts_s)
    server.start()


def _crash(world: World, random: Random, lasts_s: float) -> None:
    server = _postgres(world).server
    server.stop("immediate")
    time.sleep(lasts_s)
    server.start()


def _read_only(world: World, random: Random, lasts_s: float) -> None:
    database = _postgres(world)
    database.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    time.sleep(lasts_s)
    database.execute("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


def _cut_connections(world: World, random: Random, lasts_s: float) -> None:
    _postgres(world).execute(_TERMINATE)


def _use_up_connections(world: World, random: Random, lasts_s: float) -> None:
    with ExitStack() as held, suppress(psycopg.OperationalError):
        first = held.enter_context(_postgres(world).connect())
        first.execute(_TERMINATE.encode())
        until = time.monotonic() + lasts_s
        with suppress(psycopg.OperationalError):
            while time.monotonic() < until:
                held.enter_context(_postgres(world).connect())
        time.sleep(max(0.0, until - time.monotonic()))


_LOCK: Final = Fault("lock the database", "database", _lock)
FAULTS: Final = {
    "sqlite": [_LOCK],
    "postgresql": [
        _LOCK,
        Fault("restart PostgreSQL", "database", _restart),
        Fault("crash PostgreSQL", "database", _crash),
        Fault("read-only PostgreSQL", "database", _read_only),
        Fault("cut PostgreSQL's connections", "database", _cut_connections),
        Fault("use up PostgreSQL's connections", "database", _use_up_connections),
    ],
}
