"""One active instance among many: a lease in Redis with an owner token, renewed, lost on death.

Not redis-py's Lock, which acquires with a new token each time: if the reply is lost, it locks its own owner out for the
whole DURATION. `hold` can be repeated.
"""

from datetime import timedelta
from typing import Final
from uuid import uuid4

from redis import Redis

from jobs.broker import keys

DURATION: Final = timedelta(seconds=12)  #: a dead owner is replaced after this time, at the next standby's poll
_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('DEL', KEYS[1])  -- always allowed, and so is what follows a write, in a full Redis too
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lease:
    """The right to be the active `role`."""

    def __init__(self, role: str, connection: Redis, *, duration: timedelta = DURATION) -> None:
        self.token = uuid4().hex
        self._key = keys.LEASE.format(role)
        self._ms = int(duration.total_seconds() * 1000)
        self._renew = connection.register_script(_RENEW)
        self._release = connection.register_script(_RELEASE)

    def hold(self) -> bool:
        """Acquire or renew the lease. Returns whether we hold it. Raises redis.RedisError."""
        return bool(self._renew(keys=[self._key], args=[self.token, self._ms]))

    def release(self) -> None:
        """Release the lease if we hold it. Raises redis.RedisError."""
        self._release(keys=[self._key], args=[self.token])
