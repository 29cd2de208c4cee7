"""Reads many lists or objects in aliased queries, so that one that fails costs itself only."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from jobs.errors import JobError, NotAuthorized, NotFound, TooComplex, TooLarge
from jobs.main_api.answers import Answer
from jobs.main_api.batches import Limits, Send, alias_of
from jobs.main_api.listing import Listing, read_list, read_one

T = TypeVar("T")
READ_BATCH: Final = 50  # aliased queries per request
MOST_FAILURES: Final = 3  # items in a row that fail by themselves before the rest is given up


class Reading:
    def __init__(self, send: Send, limits: Limits) -> None:
        self._send = send
        self._limits = limits

    def list_each(self, name: str, variable: str, ids: list[str], kind: type[T]) -> dict[str, Listing[T] | JobError]:
        return self._read_each(name, variable, ids, lambda _, alias, answer: read_list(name, alias, answer, kind))

    def find_each(self, name: str, ids: list[str], kind: type[T]) -> dict[str, T | JobError | None]:
        """NOT_FOUND and null without an error both mean that the entity does not exist."""
        found: dict[str, T | JobError | None] = self._read_each(
            name, "id", ids, lambda one, alias, answer: read_one(name, alias, answer, kind, entity_id=one)
        )
        return {i: None if isinstance(one, NotFound) else one for i, one in found.items()}

    def _read_each(
        self, name: str, variable: str, ids: list[str], read: Callable[[str, str, Answer], Any]
    ) -> dict[str, Any]:
        """Read many IDs with one aliased query. If one error made all data null, the others are queried again."""
        answers: dict[str, Any] = {}
        left, size, failures = list(dict.fromkeys(ids)), self._limits.aliases(name, READ_BATCH), 0
        while left:
            batch = left[:size]
            try:
                answer = self._send(name, [{variable: i} for i in batch])
            except TooLarge as error:
                if len(batch) == 1:
                    answers[batch[0]], left = error, left[1:]
                size = max(1, len(batch) // 2)
                continue
            except JobError as error:
                answers |= dict.fromkeys(batch, error)
                left = left[len(batch) :]
                continue
            failures = failures + 1 if len(batch) == 1 and _fails_as_a_whole(answer) else 0
            if failures == MOST_FAILURES:  # one after another: it is the main API, not an item
                answers |= {one: read(one, name, answer) for one in left}
                break
            if len(batch) > 1 and _fails_as_a_whole(answer):
                size = max(1, len(batch) // 2)
                if answer.errors[0].kind is TooComplex:
                    self._limits.are_too_many(name, len(batch))
                continue
            aliases = {one: alias_of(position, len(batch), name) for position, one in enumerate(batch)}
            named = {error.alias for error in answer.errors}
            failed = [one for one in batch if aliases[one] in named]
            answers |= {i: read(i, aliases[i], answer) for i in (failed if failed and not answer.data else batch)}
            left = [one for one in left if one not in answers]
            size = min(2 * size, self._limits.aliases(name, READ_BATCH))
        return {one: answers[one] for one in ids}


def _fails_as_a_whole(answer: Answer) -> bool:
    """Whether the response has no data and names no item of the batch; smaller batches find the one that fails."""
    if answer.data or not answer.errors or any(error.path for error in answer.errors):
        return False
    return answer.errors[0].kind is not NotAuthorized
