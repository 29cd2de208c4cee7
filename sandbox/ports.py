"""Ports for servers that tests and benchmarks start."""

import random
import socket
from typing import Final

_LOWEST: Final = 10_240
_HIGHEST: Final = 32_767  #: the system takes the ports of outgoing connections from 32,768 on
_TRIES: Final = 1_000
_random = random.SystemRandom()


def free_port() -> int:
    """A port below the ephemeral range on which no process listens.

    The system would give a port of the ephemeral range for port 0, and an outgoing connection may take that one before
    the server is started. Raises OSError when no free port is found.
    """
    for _ in range(_TRIES):
        port = _random.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port among {_LOWEST} to {_HIGHEST}")
