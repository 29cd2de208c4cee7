"""Slows down guessing: an address that sends many wrong tokens is refused for a while.

Redis counts, so that all web processes agree. A right token costs no call of Redis: each process remembers the
addresses that it has refused, and learns of others at their next wrong token. While Redis is away nobody is slowed,
because jobs must be submitted then, too; tokens are still compared.
"""

import threading
import time
from typing import Final

import structlog
from redis import RedisError

from jobs.broker import keys

log = structlog.get_logger(__name__)
LIMIT: Final = 30  #: wrong tokens of an address within WINDOW_S
WINDOW_S: Final = 60
LONGEST_MEMORY: Final = 10_000  #: addresses
COUNT: Final = "scheduler:wrong_tokens:{}"  #: string: how many, by address, for WINDOW_S
_until: dict[str, float] = {}
_lock = threading.Lock()


def wait_s(address: str) -> int:
    """Return for how many more seconds the address is refused, as this process knows."""
    until = _until.get(address)
    return max(0, round(until - time.monotonic())) if until else 0


def note(address: str) -> int:
    """Count a wrong token; return for how many seconds the address is refused from now on."""
    key = COUNT.format(address)
    try:
        with keys.redis().pipeline() as pipe:
            pipe.set(key, 0, ex=WINDOW_S, nx=True)
            pipe.incr(key)
            pipe.ttl(key)
            _, wrong, left = pipe.execute()
    except RedisError as away:
        log.warning("api.wrong_token_not_counted", address=address, error=str(away)[:200])
        return 0
    log.warning("api.token_refused", address=address, wrong=wrong)
    if wrong <= LIMIT:
        return 0
    seconds = max(1, int(left))
    with _lock:
        if len(_until) >= LONGEST_MEMORY:
            _until.clear()
        _until[address] = time.monotonic() + seconds
    return seconds


def forget() -> None:
    """Forget the refused addresses, in tests."""
    _until.clear()
