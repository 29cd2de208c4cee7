"""Reading lists and single objects from a response: one malformed item fails alone, and absence proves nothing."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import structlog

from jobs.errors import JobError, NotAuthorized, TransientError
from jobs.main_api.answers import Answer
from jobs.main_api.errors import FieldError, error_of
from jobs.main_api.model import as_contract

log = structlog.get_logger(__name__)
T = TypeVar("T")
MOST_UNREADABLE: Final = 10_000  #: items of one list; with more of them it is no list
MOST_LOGGED: Final = 20  #: unreadable items of one list
_OFTEN_NULL: Final = frozenset({"archivedAt", "scheduledAt", "occurredAt", "parentId"})
_LONGEST_FAULT: Final = 500  #: characters of msgspec's message


class Unreadable(NamedTuple):
    """An item of a list that could not be read."""

    id: str  #: empty if unreadable too
    error: JobError


class Listing(list[T]):
    """A list of the readable items; the others are in `unreadable`."""

    def __init__(self, items: Iterable[T] = (), unreadable: Iterable[Unreadable] = ()) -> None:
        super().__init__(items)
        self.unreadable = list(unreadable)

    def failures(self, what: str, *, when: bool = True) -> dict[str, JobError]:
        """The unreadable items' errors by name, for a job's error; nothing unless `when`."""
        named = ((one.id or "without an id", one.error) for one in self.unreadable if when)
        return {f"{what} {name}": error for name, error in named}

    def whole(self) -> "Listing[T]":
        """Return the list if it is complete. Raises the error of the first unreadable item."""
        if self.unreadable:
            raise self.unreadable[0].error
        return self


def read_one(name: str, alias: str, answer: Answer, kind: type[T], *, entity_id: str = "") -> T | JobError | None:
    """Read the field `alias` of operation `name`: None only if it is null and there is no error.

    Another object than `entity_id`, if given, is an error.
    """
    failed = _failure(name, alias, answer, entity_id) if answer.errors else None
    if failed:
        return failed
    value = answer.data.get(alias)
    if value is None:
        return None if alias in answer.data else _unfit(name, "it is not in the answer")
    if entity_id and _id_of(value) not in ("", entity_id):
        return _unfit(name, f"asked for {entity_id}, got {_id_of(value)}")
    return _convert(name, value, kind)


def _failure(name: str, alias: str, answer: Answer, entity_id: str) -> JobError | None:
    """What an answer with errors says about the field `alias`; None if they are about others."""
    own = [error for error in answer.errors if error.alias == alias]
    if own:  # NOT_FOUND below the field does not mean that the object itself is gone
        refusals = [error for error in own if error.refuses(alias)]
        return error_of(name, refusals[0]) if refusals else _vague(name, own[0])
    value = answer.data.get(alias)
    unplaced = _errors_without_field(answer)
    if unplaced and value is None:
        cause = _cause(unplaced, entity_id)
        return error_of(name, cause) if cause else _vague(name, unplaced[0])
    if unplaced and _doubtful(value):
        missing = sum(one is None for one in answer.data.values())
        if len(unplaced) > missing:  # otherwise an error for each missing object: none is about this one
            return _vague(name, unplaced[0])
    return None if alias in answer.data else _vague(name, answer.errors[0])


def read_list(name: str, alias: str, answer: Answer, kind: type[T]) -> Listing[T] | JobError:
    """Read the list in the field `alias` of operation `name`, or its error. An item listed twice is read once."""
    value = answer.data.get(alias)
    own = [error for error in answer.errors if error.alias == alias]
    unplaced = _errors_without_field(answer)
    whole = [error for error in own if len(error.path) == 1]
    if whole or not isinstance(value, list):
        causes = (whole or own or unplaced or list(answer.errors))[:1]
        return error_of(name, causes[0]) if causes else _unfit(name, "expected a list")
    by_index = {error.path[1]: error for error in own}
    unplaced += [error for error in own if error.path[1] not in range(len(value))]
    found, seen = Listing[T](), set[str]()
    for index, item in enumerate(value):
        error = by_index.get(index) or next(iter(unplaced if _doubtful(item) else ()), None)
        one = _vague(name, error) if error else _convert(name, item, kind)
        if isinstance(one, JobError):
            found.unreadable.append(Unreadable(_id_of(item), one))
            if len(found.unreadable) > MOST_UNREADABLE:
                return _unfit(name, f"more than {MOST_UNREADABLE:,} items of the list cannot be read")
            if len(found.unreadable) <= MOST_LOGGED:
                item_id = _id_of(item) or f"#{index}"
                log.warning("main_api.item_unreadable", operation=name, item_id=item_id, error=str(one))
        elif (item_id := _id_of(item)) not in seen:
            seen.add(item_id)
            found.append(one)
    if len(found.unreadable) > MOST_LOGGED:
        log.warning("main_api.items_unreadable", operation=name, items=len(found.unreadable), of=len(value))
    return found


def _errors_without_field(answer: Answer) -> list[FieldError]:
    """The errors without a path, and those whose path names no field of the answer."""
    return [error for error in answer.errors if error.alias not in answer.data]


def _cause(unplaced: list[FieldError], entity_id: str) -> FieldError | None:
    """The unplaced error that explains a missing object; None if it may be another's."""
    naming = [error for error in unplaced if error.mentions(entity_id)]
    possible = naming or unplaced
    if len({error.kind for error in possible}) > 1 or any(error.path for error in possible):
        return None
    doubted = possible[0].kind is not NotAuthorized  # an error about all is an error about each
    told = doubted and possible[0].is_told_by_message and bool(entity_id) and not naming
    return None if told else possible[0]


def _doubtful(value: object) -> bool:
    """Whether an unplaced error may be about this value: it is null, or has a null that open entities do not have."""
    nulls = value.items() if isinstance(value, Mapping) else ()
    return value is None or any(found is None and field not in _OFTEN_NULL for field, found in nulls)


def _id_of(item: Any) -> str:
    found = item.get("id") if isinstance(item, dict) else None
    return found if isinstance(found, str) else ""


def _convert(name: str, value: object, kind: type[T]) -> T | JobError:
    try:
        return msgspec.convert(as_contract(value, kind), kind)
    except msgspec.ValidationError as error:
        return _unfit(name, str(error))


def _vague(name: str, error: FieldError) -> JobError:
    """An error that says neither that the object is gone nor that the field was rejected."""
    return TransientError(str(error_of(name, error)))


def _unfit(name: str, why: str) -> JobError:
    return TransientError(f"{name}: the answer does not fit the contract: {why[:_LONGEST_FAULT]}")
