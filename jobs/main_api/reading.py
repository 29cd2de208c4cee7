"""Reads many lists or objects in aliased queries, so that a failing one harms no other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from jobs.errors import JobError, MustWait, NotFound, TooComplex, TooLarge
from jobs.main_api.answers import Answer
from jobs.main_api.batches import BatchLimits, SendBatch, Suspicion, alias_of, find_named, forbid_singly
from jobs.main_api.errors import error_of
from jobs.main_api.listing import Listing, read_list, read_one
from jobs.main_api.model import Settlement, Structure
from jobs.main_api.updates import E
from jobs.main_api.versions import Versions, bring_up_to_date

T = TypeVar("T")
SINGLE: Final[Mapping[type, str]] = {Settlement: "settlement", Structure: "structure"}
READ_BATCH: Final = 50  # aliased queries per request


class Reading:
    def __init__(self, send: SendBatch, limits: BatchLimits, versions: Versions) -> None:
        self._send = send
        self._limits = limits
        self._versions = versions

    def list_all(self, name: str, variables: Mapping[str, Any], kind: type[T]) -> Listing[T]:
        found = read_list(name, name, self._send(name, [variables]), kind)
        if isinstance(found, JobError):
            raise found
        return found

    def find(self, name: str, variables: Mapping[str, Any], kind: type[T]) -> T | None:
        """None if the object, whose ID is among the variables, does not exist."""
        found = read_one(name, name, self._send(name, [variables]), kind, entity_id=variables["id"])
        if isinstance(found, NotFound):
            return None
        if isinstance(found, JobError):
            raise found
        return found

    def list_each(self, name: str, variable: str, ids: list[str], kind: type[T]) -> dict[str, Listing[T] | JobError]:
        run = _Run(name, self._send, self._limits, lambda _, alias, answer: read_list(name, alias, answer, kind))
        return run.ask(variable, ids)

    def list_fresh(
        self, name: str, variable: str, ids: Sequence[str], kind: type[E]
    ) -> dict[str, Listing[E] | JobError]:
        """Read lists, then individually each item that its list shows older than an update that we know of."""
        lists = self.list_each(name, variable, list(ids), kind)
        read = {i: found for i, found in lists.items() if isinstance(found, Listing)}
        entities = [entity for found in read.values() for entity in found]
        outdated = self._versions.find_outdated(entities)
        if not outdated:
            return lists
        fresh = self.find_each(SINGLE[kind], outdated, kind)
        return {**lists, **{i: bring_up_to_date(found, fresh) for i, found in read.items()}}

    def find_each(self, name: str, ids: list[str], kind: type[T]) -> dict[str, T | JobError | None]:
        """NOT_FOUND and null without an error both mean that the entity does not exist."""
        run = _Run(
            name, self._send, self._limits, lambda i, alias, answer: read_one(name, alias, answer, kind, entity_id=i)
        )
        found: dict[str, T | JobError | None] = run.ask("id", ids)
        return {i: None if isinstance(one, NotFound) else one for i, one in found.items()}


class _Run:
    """Reads many IDs. If one error made all data null, the others are asked for again."""

    def __init__(
        self, name: str, send: SendBatch, limits: BatchLimits, read: Callable[[str, str, Answer], Any]
    ) -> None:
        self._name = name
        self._send = send
        self._limits = limits
        self._read = read
        self._size = limits.aliases(name, READ_BATCH)
        self._suspicion = Suspicion()
        self._answers: dict[str, Any] = {}
        self._answered: set[str] = set()

    def ask(self, variable: str, ids: list[str]) -> dict[str, Any]:
        left = list(dict.fromkeys(ids))
        while left:
            probing = self._suspicion.needs_probe
            batch = left[-1:] if probing else left[: self._size]
            try:
                answer = self._send(self._name, [{variable: one} for one in batch])
            except TooLarge as error:
                if len(batch) == 1:
                    self._answers[batch[0]] = error
                self._size = max(1, len(batch) // 2)
            except JobError as error:
                self._answers |= dict.fromkeys(left if isinstance(error, MustWait) else batch, error)
            else:
                self._judge(batch, answer)
            if probing and self._suspicion.is_confirmed(failed := self._answers[batch[0]]):
                self._answers |= dict.fromkeys(left, failed)
            left = [one for one in left if one not in self._answers]
        forbid_singly(self._answers, self._answered)
        return {one: self._answers[one] for one in ids}

    def _judge(self, batch: Sequence[str], answer: Answer) -> None:
        """Take what a response says of its items; of none if smaller batches tell more."""
        whole = _fails_as_a_whole(answer)
        culprit = find_named(answer.errors[0], batch) if whole else None
        if not whole:
            self._suspicion.clear()
        elif culprit is None and len(batch) > 1:
            self._size = max(1, len(batch) // 2)
            if answer.errors[0].kind is TooComplex:
                self._limits.are_too_many(self._name, len(batch))
            return
        elif len(batch) == 1:
            self._suspicion.note(error_of(self._name, answer.errors[0]), counts=culprit is None)
        aliases = {one: alias_of(position, len(batch), self._name) for position, one in enumerate(batch)}
        named = {error.alias for error in answer.errors}
        failed = [culprit] if culprit else [one for one in batch if aliases[one] in named]
        self._take({one: aliases[one] for one in (failed if failed and not answer.data else batch)}, answer)
        self._size = min(2 * self._size, self._limits.aliases(self._name, READ_BATCH))

    def _take(self, aliases: dict[str, str], answer: Answer) -> None:
        self._answers |= {one: self._read(one, alias, answer) for one, alias in aliases.items()}
        self._answered |= aliases.keys()


def _fails_as_a_whole(answer: Answer) -> bool:
    """Whether the response has no data and names no item of the batch; smaller batches find the one that fails."""
    if answer.data or not answer.errors or any(error.path for error in answer.errors):
        return False
    first = answer.errors[0]
    return not first.is_about_request or first.kind in (TooComplex, TooLarge)
