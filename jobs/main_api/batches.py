"""Batches: requests with an alias a0, a1, … for each item, and how large the main API lets them be."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from jobs.main_api import wire
from jobs.main_api.answers import Answer

LEAST_REQUEST: Final = 10_000  #: bytes: a server that refuses less than this has another reason
LARGEST_REQUEST: Final = 90_000  #: bytes of updates per request; by default, many servers accept 100 KB of JSON
_ALIAS_BYTES: Final = 200  #: that each alias adds to a document


class Send(Protocol):
    """Sends one request with an alias for each set of variables; `key` marks a mutation and is the job's ID."""

    def __call__(self, name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer: ...


class Limits:
    """What the main API has been seen to refuse; kept for the life of the process."""

    def __init__(self) -> None:
        self.bytes = LARGEST_REQUEST
        self._aliases: dict[str, int] = {}

    def aliases(self, name: str, most: int) -> int:
        """How many aliases of one operation a request may have, `most` at most."""
        return min(self._aliases.get(name, most), most)

    def are_too_many(self, name: str, aliases: int) -> None:
        """A request with so many was too complex."""
        self._aliases[name] = max(1, aliases // 2)

    def are_too_large(self, size: int) -> None:
        """A request of so many bytes was too large."""
        self.bytes = max(LEAST_REQUEST, size // 2)

    def fitting(self, each: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return as many of the first ones as fit into a request by size, and at least one."""
        size = 0
        for count, one in enumerate(each):
            size += size_of(one)
            if count and size > self.bytes:
                return each[:count]
        return each


def alias_of(position: int, size: int, name: str) -> str:
    return f"a{position}" if size > 1 else name


def size_of(variables: Mapping[str, Any]) -> int:
    return len(wire.encode(variables)) + _ALIAS_BYTES
