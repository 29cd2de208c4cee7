"""Server-sent events for one page: the versions of its topics at first, then each that changes."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

from ops.live.hub import Hub

LONGEST_S: Final = 300.0  #: then the browser connects anew, and its permissions are checked again
QUIET_S: Final = 10.0  #: between two events: neither the page nor a proxy takes the stream for dead
LOOK_S: Final = 1.0  #: how soon a stream notices that its page is gone, or that the process stops
RETRY: Final = b"retry: 3000\n\n"  #: milliseconds until a browser that lost its stream connects again


def events(hub: Hub, topics: Iterable[str], *, is_open: Callable[[], bool]) -> Generator[bytes, None, None]:
    """Stream until the page is gone, the process stops, or LONGEST_S have passed."""
    began = written = time.monotonic()
    yield RETRY
    with hub.watch(topics) as watch:
        while time.monotonic() - began < LONGEST_S and is_open() and not hub.is_stopping():
            changed = watch.wait(LOOK_S)
            if not changed and time.monotonic() - written < QUIET_S:
                continue
            written = time.monotonic()
            yield f"data: {json.dumps(changed)}\n\n".encode()


def watch_client(environ: dict[str, Any]) -> Callable[[], bool]:
    """Whether the client is still connected: a page that was left would keep its stream until the next write fails."""
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda: True

    def is_connected() -> bool:
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except (OSError, ValueError):  # TLS takes no flags: gunicorn behind no proxy
            return isinstance(connection, ssl.SSLSocket)

    return is_connected
