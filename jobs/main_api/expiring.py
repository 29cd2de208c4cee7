"""Expires many events in aliased requests, so that a failing one harms no other."""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final

from jobs.errors import JobError, MustWait, NotAuthorized, TooLarge
from jobs.main_api.answers import Answer
from jobs.main_api.batches import SendBatch, Suspicion, alias_of, find_named, forbid_singly
from jobs.main_api.errors import expires_nothing
from jobs.main_api.listing import Listing
from jobs.main_api.model import Event, Expired
from jobs.main_api.updating import error_of_update, failed_position, read_mutation

EXPIRE_BATCH: Final = 10  # aliased expireEvent mutations per request
EXPIRE: Final = "expireEvent"


class Expiring:
    """One run over events: `answers` has None for each that has expired, or its error.

    Events after a failed one have not run and are sent again. Where the error names neither an alias nor one event,
    `single`, which reads events one by one, tells which have run: the first that has not is to blame. The contract has
    no such query; then `overdue`, which reads the overdue events of campaigns, tells. Lists may come out of a cache.
    """

    def __init__(
        self,
        send: SendBatch,
        overdue: Callable[[Sequence[str]], dict[str, Listing[Event] | JobError]],
        single: Callable[[Sequence[str]], dict[str, Event | JobError | None]],
    ) -> None:
        self.answers: dict[str, JobError | None] = {}
        self._send = send
        self._overdue = overdue
        self._single = single
        self._suspicion = Suspicion()
        self._to_blame: set[str] = set()

    def run(self, events: Sequence[Event], key: str) -> dict[str, JobError | None]:
        """Send all of them."""
        left, size = list(events), EXPIRE_BATCH
        while left:
            probing = self._suspicion.needs_probe
            batch = left[-1:] if probing else left[:size]
            try:
                self._judge(batch, self._send(EXPIRE, [{"eventId": event.id} for event in batch], key=key))
            except (MustWait, NotAuthorized) as stop:
                self.answers |= dict.fromkeys((event.id for event in left), stop)
            except TooLarge as refused:
                self.answers |= {batch[0].id: refused} if len(batch) == 1 else {}
            except JobError as failed:
                self.answers |= dict.fromkeys((event.id for event in batch), failed)
            if probing and self._suspicion.is_confirmed(error := self.answers[batch[0].id]):
                self.answers |= dict.fromkeys((event.id for event in left), error)
            if all(event.id not in self.answers for event in batch):  # fewer may tell more
                size = max(1, len(batch) // 2)
            left = [event for event in left if event.id not in self.answers]
            if None in self.answers.values():
                self._suspicion.clear()
        forbid_singly(self.answers, self._to_blame)
        return self.answers

    def _judge(self, batch: Sequence[Event], answer: Answer) -> None:
        """Record what has become of a request's events; of none if that is unclear."""
        ids = [event.id for event in batch]
        if not answer.errors:
            self._read(ids, answer)
            return
        first = answer.errors[0]
        position = failed_position(EXPIRE, len(ids), first)
        error = None if expires_nothing(first) else error_of_update(EXPIRE, first)
        if position is None:
            self._trace(batch, answer, error)
        else:
            self._blame(ids, ids[position], error, counts=position == 0 and isinstance(error, NotAuthorized))

    def _read(self, ids: Sequence[str], answer: Answer) -> None:
        """Of an answer without errors: the events up to the first that it says nothing about."""
        for position, event_id in enumerate(ids):
            ran = read_mutation(EXPIRE, alias_of(position, len(ids), EXPIRE), answer, Expired, entity_id=event_id)
            if isinstance(ran, JobError):
                self.answers[event_id] = ran
                return
            self.answers[event_id] = None

    def _trace(self, batch: Sequence[Event], answer: Answer, error: JobError | None) -> None:
        """Find the culprit of an error that names no alias."""
        ids = [event.id for event in batch]
        if len(ids) == 1:
            self._blame(ids, ids[0], error, counts=True)
            return
        culprit = find_named(answer.errors[0], ids)
        if culprit and len(answer.errors) == 1:
            self._blame(ids, culprit, error, counts=False)
            return
        found = self._single(ids)
        if any(isinstance(one, JobError) for one in found.values()):
            still = self._find_overdue(batch)
        else:
            still = {i for i, one in found.items() if not (isinstance(one, Event) and one.is_completed)}
            if not still:
                self.answers |= dict.fromkeys(ids)
        if still is None:
            return
        if culprit is None and error is None:  # one of these was completed before, the others have run
            self.answers |= dict.fromkeys(takewhile(lambda i: i not in still, ids))
            return
        culprit = culprit or next((i for i in ids if i in still), None)
        if culprit:
            ran = [i for i in ids[: ids.index(culprit)] if i not in still]
            self._blame([*ran, culprit], culprit, error, counts=culprit == ids[0])

    def _find_overdue(self, batch: Sequence[Event]) -> set[str] | None:
        """The overdue events of the batch's campaigns; None if they cannot all be read."""
        overdue = self._overdue(list(dict.fromkeys(event.campaign_id for event in batch))).values()
        lists = [listed for listed in overdue if not isinstance(listed, JobError) and not listed.unreadable]
        return None if len(lists) < len(overdue) else {event.id for listed in lists for event in listed}

    def _blame(self, ids: Sequence[str], culprit: str, error: JobError | None, *, counts: bool) -> None:
        """The events before the culprit have expired: they run one after another."""
        self.answers |= dict.fromkeys(ids[: ids.index(culprit)])
        self.answers[culprit] = error
        if error is not None:
            self._to_blame.add(culprit)
            self._suspicion.note(error, counts=counts)
