"""Expires many events in aliased requests, so that one that fails costs itself only."""

from collections.abc import Callable, Sequence
from typing import Final

from jobs.errors import CircuitOpen, JobError, NotAuthorized, TooLarge
from jobs.main_api.batches import Send, alias_of
from jobs.main_api.errors import says_completed
from jobs.main_api.listing import Listing, read_one
from jobs.main_api.model import Event, Expired
from jobs.main_api.updating import error_of_update, failed_position, no_answer

EXPIRE_BATCH: Final = 10  # aliased expireEvent mutations per request


class Expiring:
    """Where an error names no alias, `overdue`, which reads the overdue events of campaigns, tells which have run."""

    def __init__(self, send: Send, overdue: Callable[[Sequence[str]], dict[str, Listing[Event] | JobError]]) -> None:
        self._send = send
        self._overdue = overdue

    def run(self, events: Sequence[Event], key: str) -> dict[str, JobError | None]:
        """Send all of them."""
        answers: dict[str, JobError | None] = {}
        left, size = list(events), EXPIRE_BATCH
        while left:
            batch = left[:size]
            try:
                ended = self._expire_batch(batch, key)
            except (CircuitOpen, NotAuthorized) as stop:
                return answers | dict.fromkeys((event.id for event in left), stop)
            except TooLarge as refused:
                ended = {batch[0].id: refused} if len(batch) == 1 else {}
            except JobError as failed:
                ended = dict.fromkeys((event.id for event in batch), failed)
            answers |= ended
            left = [event for event in left if event.id not in ended]
            size = size if ended else max(1, len(batch) // 2)
        return answers

    def _expire_batch(self, batch: Sequence[Event], key: str) -> dict[str, JobError | None]:
        """Send one request. Returns None or the error for each event that has ended; nothing if fewer may tell more."""
        name, ids = "expireEvent", [event.id for event in batch]
        answer = self._send(name, [{"eventId": i} for i in ids], key=key)
        if not answer.errors:
            ran = [read_one(name, alias_of(n, len(ids), name), answer, Expired) for n in range(len(ids))]
            failed = next((n for n, one in enumerate(ran) if not isinstance(one, Expired)), None)
            if failed is None:
                return dict.fromkeys(ids)
            error = ran[failed]
            unclear = error if isinstance(error, JobError) else no_answer(name, ids[failed])
            return dict.fromkeys(ids[:failed]) | {ids[failed]: unclear}
        position = failed_position(name, len(ids), answer.errors[0])
        ended = None if says_completed(answer.errors[0]) else error_of_update(name, answer.errors[0])
        if position is not None:
            return dict.fromkeys(ids[:position]) | {ids[position]: ended}
        overdue = self._overdue(list(dict.fromkeys(event.campaign_id for event in batch))).values()
        lists = [listed for listed in overdue if not isinstance(listed, JobError) and not listed.unreadable]
        if len(lists) < len(overdue):
            return {}
        still = {event.id for listed in lists for event in listed}
        culprit = next((i for i in ids if answer.errors[0].mentions(i)), None)
        if culprit is None and ended is not None:
            culprit = next((i for i in ids if i in still), None)
        if culprit is None:
            return {}
        before = ids[: ids.index(culprit)]  # one after another: what stands after the culprit has not run
        return dict.fromkeys(i for i in before if i not in still) | {culprit: ended}
