"""Connections to the Redis of REDIS_URL: one server, or whichever Sentinel names as the master.

`redis://`, `rediss://` and `unix://` are redis-py's. With Sentinel: `redis+sentinel://host:26379,host2/mymaster/0`, or
`rediss+sentinel://` for TLS. User and password are the server's; `?sentinel_username=` and `?sentinel_password=` are
those of the Sentinels.

After a failover behind one address a kept connection stays with the old master, which refuses each write. Such a
connection is dropped, so that the next one reaches the new master.
"""

import select
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import Redis
from redis.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ReadOnlyError, ResponseError
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

SENTINEL: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
SENTINEL_PORT: Final = 26379
SENTINEL_TIMEOUT_S: Final = 2.0
#: What of redis-py's options cannot work here: the client reads bytes, and never blocks for ever.
REFUSED: Final = ("decode_responses", "encoding", "encoding_errors", "protocol")
#: What a connection says of its library. Without it each one reads the installed package's metadata, for half a ms.
DRIVER: Final = DriverInfo()


class Failover(AbstractConnection):
    """A connection class that drops its connection where the server has become a replica."""

    def read_response(self, *args: Any, **named: Any) -> Any:
        """As redis-py's; raises redis.ConnectionError in place of READONLY, within a script too."""
        try:
            return super().read_response(*args, **named)
        except ResponseError as error:
            # Within a script an older Redis says it in the text of a plain error.
            if not isinstance(error, ReadOnlyError) and "READONLY" not in str(error)[:500]:
                raise
            self.disconnect()  # type: ignore[no-untyped-call] # redis-py's has no annotations
            raise ConnectionLost(f"this Redis has become a replica: {error}") from error

    def is_quiet(self) -> bool:
        """Whether it is open and there is nothing to read, at a fraction of the cost of redis-py's can_read."""
        socket = self._sock
        if socket is None:
            return False
        readable = select.poll()
        readable.register(socket, select.POLLIN)
        return not readable.poll(0)


class AsksSentinel(AbstractConnection):
    """A connection class that asks Sentinel for the master at every connect, not only from a pool."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """As redis-py's, which would connect to the master of before."""
        if not self._sock:
            self.connect()  # type: ignore[no-untyped-call] # redis-py's has no annotations
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call] # redis-py's has no annotations


class SentinelAddress(NamedTuple):
    """A master watched by Sentinels, as a URL describes it."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    connection: dict[str, Any]  #: options of connections to the master
    sentinel: dict[str, Any]  #: options of connections to the Sentinels


def connect(url: str, *, single_connection: bool = False, **options: Any) -> Redis:
    """A client with its own pool, or with a single connection. Raises ValueError for a URL that cannot be read."""
    pool = _pool(url, {"driver_info": DRIVER, **options})
    return Redis(connection_pool=pool, single_connection_client=single_connection)


def read_sentinel(url: str) -> SentinelAddress:
    """The parts of a `redis+sentinel` URL.

    Raises ValueError, which says what is wrong.

    >>> read_sentinel("redis+sentinel://:pw@one:1,two/mymaster/3").hosts
    (('one', 1), ('two', 26379))
    """
    parts = urlsplit(url)
    credentials, _, places = parts.netloc.rpartition("@")
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ValueError("names no master: expected /mymaster after the Sentinels' hosts")
    if database and not database.isdecimal():
        raise ValueError("expected the number of a database after the master")
    own = {"sentinel_username": "username", "sentinel_password": "password"}
    given = parse_qsl(parts.query)
    sentinel: dict[str, Any] = {own[name]: value for name, value in given if name in own}
    rest = "&".join(f"{name}={value}" for name, value in given if name not in own)
    at = f"{credentials}@" if credentials else ""
    plain = f"{SENTINEL[parts.scheme]}://{at}master/{database or 0}{rest and f'?{rest}'}"
    connection: dict[str, Any] = parse_url(plain)
    connection.pop("host", None)
    if connection.pop("connection_class", None) is SSLConnection:
        sentinel["ssl"] = True
    return SentinelAddress(tuple(map(_place, places.split(","))), unquote(service), connection, sentinel)


def _place(text: str) -> tuple[str, int]:
    try:
        found = urlsplit(f"//{text}")
        host, port = found.hostname, SENTINEL_PORT if found.port is None else found.port
    except ValueError:  # whose text may hold half of a password
        host, port = None, 0
    if not host or not port:
        raise ValueError("expected the Sentinels' hosts, each with a port from 1 to 65535 or none")
    return host, port


def _pool(url: str, options: dict[str, Any]) -> ConnectionPool:
    if urlsplit(url).scheme not in SENTINEL:
        pool = ConnectionPool.from_url(url, **options)
        pool.connection_class = _with_failover(pool.connection_class)
        return pool
    address = read_sentinel(url)
    own = {"socket_timeout": SENTINEL_TIMEOUT_S, "socket_connect_timeout": SENTINEL_TIMEOUT_S, **address.sentinel}
    sentinel = Sentinel(address.hosts, sentinel_kwargs=own)
    kind = SentinelManagedSSLConnection if address.sentinel.get("ssl") else SentinelManagedConnection
    found: ConnectionPool = SentinelConnectionPool(
        address.service, sentinel, connection_class=_with_failover(kind), **{**address.connection, **options}
    )
    return found


@cache
def _with_failover(kind: type[Any]) -> type[Any]:
    known = (Connection, SSLConnection, UnixDomainSocketConnection, SentinelManagedConnection)
    if not issubclass(kind, known):
        raise TypeError(f"{kind} is no connection to a Redis server")
    asks = (AsksSentinel,) if issubclass(kind, SentinelManagedConnection) else ()
    return type(f"Failover{kind.__name__}", (Failover, *asks, kind), {})
