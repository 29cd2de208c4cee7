"""Batches: requests with an alias a0, a1, … for each item, and how large the main API lets them be."""

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol, TypeGuard

from jobs.errors import Forbidden, JobError, NotAuthorized
from jobs.main_api import wire
from jobs.main_api.answers import Answer
from jobs.main_api.errors import FieldError

LEAST_REQUEST: Final = 10_000  #: bytes: a server that refuses less than this has another reason
LARGEST_REQUEST: Final = 90_000  #: bytes of updates per request; by default, many servers accept 100 KB of JSON
MOST_REPEATS: Final = 1  #: after so many, an error that blames the first item may be about all of them
_ALIAS_BYTES: Final = 200  #: that each alias adds to a document


class SendBatch(Protocol):
    """Sends one request with an alias for each set of variables; `key` marks a mutation and is the job's ID."""

    def __call__(self, name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer: ...


class BatchLimits:
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


class Suspicion:
    """Whether an error is about all items: one request after another has it, in the same words, and none has worked.

    The last item, sent alone, then confirms or clears it.
    """

    def __init__(self) -> None:
        self._error = ""
        self._repeats = 0
        self._is_cleared = False

    @property
    def needs_probe(self) -> bool:
        """Whether to send the last item alone."""
        return self._repeats >= MOST_REPEATS and not self._is_cleared

    def clear(self) -> None:
        """An item has worked."""
        self._is_cleared = True

    def note(self, error: JobError, *, counts: bool) -> None:
        """A request has failed; `counts` says that the error may be about all items."""
        if self.needs_probe:  # this is the probe, which `is_confirmed` judges
            return
        self._repeats = self._repeats + 1 if counts and str(error) == self._error else 0
        self._error = str(error) if counts else ""

    def is_confirmed(self, answer: object) -> TypeGuard[JobError]:
        """Whether the item that was sent alone has failed in the same words."""
        confirmed = isinstance(answer, JobError) and str(answer) == self._error
        self._is_cleared = not confirmed
        return confirmed


def forbid_singly(answers: MutableMapping[str, Any], refused: Collection[str]) -> None:
    """Turn NotAuthorized into Forbidden where the main API has refused some items and carried out others."""
    if any(not isinstance(answer, JobError) for answer in answers.values()):
        for one in refused:
            if isinstance(error := answers[one], NotAuthorized):
                answers[one] = Forbidden(str(error))


def find_named(error: FieldError, ids: Sequence[str]) -> str | None:
    """The one item that the message names; None if it names none or several."""
    named = [one for one in ids if error.mentions(one)]
    return named[0] if len(named) == 1 else None


def alias_of(position: int, size: int, name: str) -> str:
    return f"a{position}" if size > 1 else name


def size_of(variables: Mapping[str, Any]) -> int:
    encoded = wire.encode_unsent(variables)
    return len(encoded if encoded.isascii() else wire.encode(variables)) + _ALIAS_BYTES
