"""Free ports for the servers of tests and benchmarks."""

import random
import socket
from typing import Final

_LOWEST: Final = 10_240
_HIGHEST: Final = 32_767  #: Linux uses ports from 32,768 on for outgoing connections
_TRIES: Final = 1_000
_random = random.SystemRandom()


def free_port() -> int:
    """Return a port below the ephemeral range on which no process listens. Raises OSError if there is none.

    Binding to port 0 would yield an ephemeral port, which an outgoing connection may take before the server starts.
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
