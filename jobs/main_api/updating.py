"""Sends many updates in aliased requests, so that a failing one harms no other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from jobs.errors import JobError, MustWait, NotAuthorized, TooComplex, TooLarge
from jobs.main_api.answers import Answer, Request
from jobs.main_api.batches import BatchLimits, Suspicion, alias_of, forbid_singly, size_of
from jobs.main_api.errors import FieldError, error_of
from jobs.main_api.listing import read_one
from jobs.main_api.model import Written
from jobs.main_api.updates import E, Update, sort_by_state

T = TypeVar("T")
WRITE_BATCH: Final = 50  #: aliased updates per request


class Updating(Generic[E]):
    """One run over updates: `answers` has for each what was written, or its error.

    Aliases after a failed one have not run and are sent again. Those before it have run although `data` is null; their
    new state is still known, because an update adds one to the version that it names. Where the error names no alias,
    reading the entities back tells which have run: the first that has not is to blame.
    """

    def __init__(
        self,
        name: str,
        limits: BatchLimits,
        send: Callable[[Sequence[Mapping[str, Any]], str], Answer],
        read_back: Callable[[Sequence[str]], Mapping[str, E | JobError | None]],
    ) -> None:
        self.answers: dict[str, E | JobError] = {}
        self._name = name
        self._limits = limits
        self._send = send
        self._read_back: Callable[[Sequence[str]], Mapping[str, E | JobError | None]] = read_back
        self._most = WRITE_BATCH
        self._suspicion = Suspicion()
        self._to_blame: set[str] = set()

    def run(self, updates: Sequence[Update[E]], branch_id: str) -> dict[str, E | JobError]:
        """Send all of them."""
        left = list(updates)
        while left:
            probing = self._suspicion.needs_probe
            most = self._limits.aliases(self._name, self._most)
            some = left[-1:] if probing else left[:most]
            each = self._limits.fitting([update.variables_for(branch_id) for update in some])
            batch = some[: len(each)]
            try:
                self._judge(batch, self._send(each, batch[0].key), probing=probing)
            except TooLarge as refused:
                self._split(batch, each, refused)
            except JobError as failed:
                everything = isinstance(failed, MustWait | NotAuthorized)
                self._fail(left if everything else batch, failed)
            if probing and self._suspicion.is_confirmed(error := self.answers[batch[0].entity.id]):
                self._fail(left, error)
            left = [update for update in left if update.entity.id not in self.answers]
        forbid_singly(self.answers, self._to_blame)
        return self.answers

    def _judge(self, batch: Sequence[Update[E]], answer: Answer, *, probing: bool) -> None:
        """Record what has become of a request's updates: of one of them at least."""
        if not answer.errors:
            for n, update in enumerate(batch):
                alias = alias_of(n, len(batch), self._name)
                ran = read_mutation(self._name, alias, answer, Written, entity_id=update.entity.id)
                self._end(update, ran if isinstance(ran, JobError) else self._not_written(update, ran))
            return
        error = error_of_update(self._name, answer.errors[0])
        position = failed_position(self._name, len(batch), answer.errors[0])
        if probing:
            self._end(batch[0], error)
        elif position is None:
            self._trace(batch, error)
        else:
            for update in batch[:position]:
                self._end(update, None)
            self._blame(batch[position], error, counts=position == 0 and isinstance(error, NotAuthorized))

    def _not_written(self, update: Update[E], ran: Written) -> JobError | None:
        """The error of an answer with a version that no update can have made."""
        if ran.version > update.entity.version:
            return None
        versions = f"{update.entity.id} is at version {ran.version} after an update of version {update.entity.version}"
        return Request.UPDATE.unclear(f"{self._name}: {versions}")

    def _trace(self, batch: Sequence[Update[E]], error: JobError) -> None:
        """Find out by reading back what has run before an error that names no alias."""
        known = sort_by_state(batch, self._read_back([update.entity.id for update in batch]))
        self.answers |= known
        for update in batch:
            state = known.get(update.entity.id)
            if state is None:
                self._blame(update, error, counts=not known)
            if state is None or isinstance(state, JobError):  # a changed or missing entity explains the error
                return
            self._suspicion.clear()

    def _blame(self, update: Update[E], error: JobError, *, counts: bool) -> None:
        self._to_blame.add(update.entity.id)
        self._suspicion.note(error, counts=counts)
        self._end(update, error)

    def _split(self, batch: Sequence[Update[E]], each: Sequence[Mapping[str, Any]], refused: TooLarge) -> None:
        if len(batch) == 1:
            self._end(batch[0], refused)
            return
        self._most = len(batch) // 2
        if isinstance(refused, TooComplex):
            self._limits.are_too_many(self._name, len(batch))
        else:
            self._limits.are_too_large(sum(map(size_of, each)))

    def _fail(self, updates: Sequence[Update[E]], error: JobError) -> None:
        for update in updates:
            self._end(update, error)

    def _end(self, update: Update[E], error: JobError | None) -> None:
        self.answers[update.entity.id] = error or update.as_written()
        if error is None:
            self._suspicion.clear()


def failed_position(name: str, size: int, error: FieldError) -> int | None:
    """Position of the failed alias in a request of `size`; None if the error names none.

    Raises the error itself if it is about the whole request: its size, or our credential.
    """
    aliases = [alias_of(position, size, name) for position in range(size)]
    if error.alias in aliases:
        return aliases.index(error.alias)
    if error.is_about_request:
        raise error_of(name, error)
    return None


def error_of_update(name: str, error: FieldError) -> JobError:
    """By its kind, unless it is below the field: that has run then, and running it again changes nothing."""
    return error_of(name, error) if error.refuses(error.alias) else Request.UPDATE.unclear(str(error_of(name, error)))


def read_mutation(name: str, alias: str, answer: Answer, kind: type[T], *, entity_id: str) -> T | JobError:
    """Read what a mutation has answered, without errors. Its outcome is unknown unless that is about `entity_id`."""
    ran = read_one(name, alias, answer, kind, entity_id=entity_id)
    if ran is None:
        return no_answer(name, entity_id)
    return Request.UPDATE.unclear(str(ran)) if isinstance(ran, JobError) else ran


def no_answer(name: str, entity_id: str) -> JobError:
    return Request.UPDATE.unclear(f"{name}: the answer says nothing about {entity_id}")
