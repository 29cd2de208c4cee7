"""The Lua scripts in lua/, each atomic in Redis. Each takes two arguments and may return an answer."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from redis import Redis
from redis.exceptions import NoScriptError

FAIR_SHARE: Final = 50  #: ids of one campaign in a queue's list at a time (see lua/enter.lua)
MOST_PARKED: Final = 1000  #: ids that one call parks or releases; it blocks Redis for some ten milliseconds
_FOLDER: Final = Path(__file__).parent / "lua"
_encode = msgspec.msgpack.Encoder().encode


class Script:
    """One script, loaded into Redis when it is first needed there. Threads share it."""

    def __init__(self, name: str) -> None:
        # Redis makes each function anew whenever it runs a script, so the one of each submission has few.
        parts = ("enter", name) if name == "enqueue" else ("enter", "fair_share", name)
        self._source = "".join((_FOLDER / f"{part}.lua").read_text() for part in parts)
        self._sha = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()  # its name in Redis

    def run(self, connection: Redis, blob: bytes = b"", **given: Any) -> Any:
        """Run it with `given` and `blob` (msgpack in Redis knows no bytes) as arguments. Raises redis.RedisError."""
        arguments = (_encode(given), blob)
        try:
            return connection.execute_command("EVALSHA", self._sha, 0, *arguments)
        except NoScriptError:  # it is new there, or Redis was restarted
            connection.script_load(self._source)
            return connection.execute_command("EVALSHA", self._sha, 0, *arguments)

    def send(self, connection: Redis, blob: bytes = b"", **given: Any) -> None:
        """Send it; who calls this reads the answer, and has checked the connection with `check_health` before.

        For a client with a single connection (keys.own_redis). It bypasses redis-py's client, which takes half of a
        call's time and resends what may have been executed. Raises redis.RedisError.
        """
        raw: Any = connection.connection
        # A check here would take the answer to an earlier call for its own.
        raw.send_command("EVALSHA", self._sha, 0, _encode(given), blob, check_health=False)

    def begin(self, connection: Redis, blob: bytes = b"", **given: Any) -> Callable[[], Any]:
        """Send it and return a function that waits for the answer; nothing else may be sent before.

        For a client as `send` needs. Both raise redis.RedisError.
        """
        raw: Any = connection.connection
        raw.check_health()
        self.send(connection, blob, **given)

        def answer() -> Any:
            try:
                return raw.read_response()
            except NoScriptError:
                return self.run(connection, blob, **given)

        return answer


@cache
def script(name: str) -> Script:
    """The script of lua/<name>.lua."""
    return Script(name)
