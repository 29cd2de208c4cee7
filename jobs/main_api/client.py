"""The main API as Python: what the handlers ask of it and tell it."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final, TypeVar
from uuid import uuid4

import msgspec
import structlog
from django.conf import settings
from redis import Redis

from jobs import tally
from jobs.errors import (
    CircuitOpen,
    JobError,
    NotAuthorized,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from jobs.main_api import operations
from jobs.main_api.breaker import Breaker
from jobs.main_api.cache import Cache
from jobs.main_api.calls import ApiCall, note
from jobs.main_api.errors import ERROR_OF_CODE, alias_of, code_of, error_of
from jobs.main_api.model import (
    Branch,
    Campaign,
    Effect,
    EffectExecution,
    Event,
    Kingdom,
    Settlement,
    Structure,
)
from jobs.main_api.transport import Fault, NotSent, PooledTransport
from jobs.main_api.updates import Update

log = structlog.get_logger(__name__)
T = TypeVar("T")
E = TypeVar("E", Settlement, Structure)
_RESULTS: Final = frozenset({"ok", "error", "fault", "refused", "INTERNAL_SERVER_ERROR", *ERROR_OF_CODE})
READ_BATCH: Final = 50  # aliased queries a request
EXPIRE_BATCH: Final = 10  # aliased expireEvent mutations a request
WRITE_BATCH: Final = 50  # aliased updates a request


class MainApi:
    """A client of the main API; thread-safe, one per process."""

    def __init__(self, transport: PooledTransport, breaker: Breaker, cache: Cache) -> None:
        self.transport = transport
        self.breaker = breaker
        self.cache = cache
        self.observers: list[Callable[[ApiCall], None]] = []
        self._main_branches: dict[str, Branch] = {}

    # -- reading

    def campaigns(self, *, fresh: bool = False) -> list[Campaign]:
        """All campaigns that the service account may see, at most five minutes old unless `fresh`."""
        return self.cache.campaigns(lambda: self._read("campaigns", {}, list[Campaign]), fresh=fresh)

    def campaign(self, campaign_id: str) -> Campaign | None:
        """One campaign as it is now."""
        return self._find("campaign", {"id": campaign_id}, Campaign)

    def main_branch(self, campaign_id: str) -> Branch:
        """The branch without a parent, to which updates go. Raises PermanentError when the campaign has none."""
        known = self._main_branches.get(campaign_id)
        if known is None:
            branches = self._read("branches", {"campaignId": campaign_id}, list[Branch])
            known = next((branch for branch in branches if branch.parent_id is None), None)
            if known is None:
                raise PermanentError(f"branches: campaign {campaign_id} has no main branch")
            self._main_branches[campaign_id] = known
        return known

    def effect(self, effect_id: str) -> Effect | None:
        """An effect, at most five minutes old."""
        return self.cache.effect(effect_id, lambda: self._find("getEffect", {"id": effect_id}, Effect))

    def settlements(self, ids: Sequence[str]) -> dict[str, Settlement | JobError | None]:
        """Settlements as they are now, READ_BATCH a request; for each None when it is gone, or its own error."""
        return self._find_each("settlement", list(ids), Settlement)

    def structures(self, ids: Sequence[str]) -> dict[str, Structure | JobError | None]:
        """Structures as they are now, READ_BATCH a request; for each None when it is gone, or its own error."""
        return self._find_each("structure", list(ids), Structure)

    def structures_by_settlement(self, settlement_ids: Sequence[str]) -> dict[str, list[Structure] | JobError]:
        """The structures of each settlement, or what went wrong with that one alone."""
        return self._read_each("structuresBySettlement", "settlementId", list(settlement_ids), list[Structure])

    def settlements_of(self, campaign_id: str) -> list[tuple[Settlement, Kingdom]]:
        """All settlements of a campaign, each with its kingdom."""
        kingdoms = {k.id: k for k in self._read("kingdomsByCampaign", {"campaignId": campaign_id}, list[Kingdom])}
        found = self._read_each("settlementsByKingdom", "kingdomId", list(kingdoms), list[Settlement])
        return [(settlement, kingdoms[k]) for k, group in _whole(found).items() for settlement in group]

    def structures_of(self, campaign_id: str) -> list[tuple[Structure, Settlement]]:
        """All structures of a campaign, each with its settlement."""
        settlements = {settlement.id: settlement for settlement, _ in self.settlements_of(campaign_id)}
        found = _whole(self.structures_by_settlement(list(settlements)))
        return [(structure, settlements[s]) for s, group in found.items() for structure in group]

    def overdue_events(self, campaign_ids: Sequence[str]) -> dict[str, list[Event] | JobError]:
        """The overdue events of each campaign, or what went wrong with that campaign alone."""
        return self._read_each("getOverdueEvents", "campaignId", list(campaign_ids), list[Event])

    # -- writing

    def expire_events(self, event_ids: Sequence[str], *, key: str) -> dict[str, JobError | None]:
        """Expire events, EXPIRE_BATCH a request; for each None, or why it could not be.

        An event that is completed already counts as expired. After a failed alias the later ones of its request have
        not run: they are sent again without it.
        """
        answers: dict[str, JobError | None] = {}
        left = list(event_ids)
        while left:
            batch = left[:EXPIRE_BATCH]
            try:
                done, error = self._mutate_each("expireEvent", "eventId", batch, key=key)
            except (CircuitOpen, NotAuthorized) as stop:
                return answers | dict.fromkeys(left, stop)
            except JobError as failed:
                answers |= dict.fromkeys(batch, failed)
                left = left[len(batch) :]
                continue
            answers |= dict.fromkeys(batch[:done])
            if error is not None:
                answers[batch[done]] = error
                done += 1
            left = left[done:]
        return answers

    def execute_effect(self, effect_id: str, context: Mapping[str, Any], *, key: str) -> EffectExecution:
        """Execute an effect; not idempotent.

        Raises OutcomeUnknown(may_resend=False) when nobody knows whether it was, PermanentError when the main API says
        that it failed.
        """
        variables = {"input": {"effectId": effect_id, "context": context}}
        try:
            answer = self.ask("executeEffect", operations.text("executeEffect"), variables, key=key, once=True)
            done: EffectExecution = self._field("executeEffect", answer, EffectExecution)
        except OutcomeUnknown as unknown:
            raise OutcomeUnknown(str(unknown), may_resend=False, retry_after=unknown.retry_after) from unknown
        if not done.success:
            raise PermanentError(f"executeEffect: {done.error or 'failed without a reason'}")
        return done

    def update_settlements(
        self, updates: Sequence[Update[Settlement]], *, branch_id: str
    ) -> dict[str, Settlement | JobError]:
        """Write levels and variables under the versions that were read, WRITE_BATCH a request.

        For each the settlement as it is then, or why it is not: VersionConflict when it has changed since.
        """
        return self._update_each("updateSettlement", updates, Settlement, branch_id)

    def update_structures(
        self, updates: Sequence[Update[Structure]], *, branch_id: str
    ) -> dict[str, Structure | JobError]:
        """As `update_settlements`."""
        return self._update_each("updateStructure", updates, Structure, branch_id)

    # -- requests

    def ask(
        self, name: str, document: str, variables: Mapping[str, Any], *, key: str = "", once: bool = False
    ) -> dict[str, Any]:
        """Send one request through the breaker; the whole answer, GraphQL errors included.

        `key` makes it a mutation, and is its Idempotency-Key: the same for the same request only, whoever sends it
        again; `once` makes it one that must never be sent twice.

        Raises CircuitOpen without sending, and what the transport raises.
        """
        probe = self.breaker.before_call()
        request_id = str(structlog.contextvars.get_contextvars().get("request_id") or uuid4().hex)
        headers = {"X-Request-Id": request_id} | ({"Idempotency-Key": key} if key else {})
        payload = {"query": document, "variables": variables}
        began = time.perf_counter()
        result = "error"
        try:
            answer = self.transport.send(payload, mutation=bool(key), headers=headers, once=once)
            self.breaker.succeeded(probe=probe)
            result = "ok" if not answer.get("errors") else code_of(answer["errors"][0]) or "error"
        except Fault as fault:
            result = "fault"
            self.breaker.failed(fault.error, probe=probe)
            raise fault.error from fault
        except NotSent:
            self.breaker.abandoned(probe=probe)
            raise
        except JobError as error:
            result = "refused" if isinstance(error, NotAuthorized) else "error"
            self.breaker.succeeded(probe=probe)
            raise
        finally:
            call = ApiCall(name, began, time.perf_counter() - began, result, request_id)
            note(call)
            log.debug("api.called", operation=name, duration_ms=round(call.seconds * 1000, 1), result=result)
            for observer in self.observers:
                observer(call)
        return answer

    def _read(self, name: str, variables: Mapping[str, Any], kind: Any) -> Any:
        return self._field(name, self.ask(name, operations.text(name), variables), kind)

    def _find(self, name: str, variables: Mapping[str, Any], kind: type[T]) -> T | None:
        answer = self.ask(name, operations.text(name), variables)
        if any(code_of(error) == "NOT_FOUND" for error in answer.get("errors") or []):
            return None
        if not answer.get("errors") and (answer.get("data") or {}).get(name) is None:
            return None
        found: T = self._field(name, answer, kind)
        return found

    def _field(self, name: str, answer: Mapping[str, Any], kind: Any) -> Any:
        errors = answer.get("errors")
        if errors:
            raise error_of(name, errors[0])
        return _typed(name, (answer.get("data") or {}).get(name), kind)

    def _read_each(self, name: str, variable: str, ids: list[str], kind: Any) -> dict[str, Any]:
        """One aliased query for many ids; what fails alone is left out of the next try, the rest is asked again."""
        answers: dict[str, Any] = {}
        left = list(ids)
        while left:
            batch = left[:READ_BATCH]
            try:
                data, errors = self._batch(name, [{variable: i} for i in batch])
            except JobError as error:
                answers |= dict.fromkeys(batch, error)
                left = left[len(batch) :]
                continue
            failed = _failed(name, batch, errors)
            if errors and not failed:
                answers |= dict.fromkeys(batch, error_of(name, errors[0]))
                left = left[len(batch) :]
            elif failed:
                answers |= failed
                left = [i for i in left if i not in failed]
            else:
                for position, one in enumerate(batch):
                    try:
                        answers[one] = _typed(name, data.get(_alias(position, len(batch), name)), kind)
                    except TransientError as unfit:
                        answers[one] = unfit
                left = left[len(batch) :]
        return {one: answers[one] for one in ids}

    def _find_each(self, name: str, ids: list[str], kind: type[T]) -> dict[str, T | JobError | None]:
        """As `_read_each`; NOT_FOUND and null both mean that there is none."""
        found = self._read_each(name, "id", ids, kind | None)
        return {i: None if isinstance(one, NotFound) else one for i, one in found.items()}

    def _mutate_each(self, name: str, variable: str, ids: list[str], *, key: str) -> tuple[int, JobError | None]:
        """One aliased mutation for many ids: how many have run, and the error of the one after them."""
        _data, errors = self._batch(name, [{variable: i} for i in ids], key=key)
        if not errors:
            return len(ids), None
        position = _failed_position(name, len(ids), errors[0])
        if code_of(errors[0]) == "BAD_REQUEST":  # by contract: it is completed already
            return position + 1, None
        return position, error_of(name, errors[0])

    def _update_each(
        self, name: str, updates: Sequence[Update[E]], kind: type[E], branch_id: str
    ) -> dict[str, E | JobError]:
        """Aliased updates; after a failed alias the later ones have not run, so that they are sent again.

        The fields before it have run, but `data` is null: what they are now is known all the same, for an update
        that succeeds adds one to the version that it named.
        """
        answers: dict[str, E | JobError] = {}
        left = list(updates)
        while left:
            batch = left[:WRITE_BATCH]
            try:
                data, errors = self._batch(name, [u.variables_for(branch_id) for u in batch], key=batch[0].key)
                done = _failed_position(name, len(batch), errors[0]) if errors else len(batch)
            except JobError as failed:
                rest = left if isinstance(failed, CircuitOpen | NotAuthorized) else batch
                answers |= {u.entity.id: failed for u in rest}
                left = left[len(rest) :]
                continue
            for position, update in enumerate(batch[:done]):
                answers[update.entity.id] = (
                    update.written() if errors else _typed(name, data.get(_alias(position, len(batch), name)), kind)
                )
            if errors:
                answers[batch[done].entity.id] = error_of(name, errors[0])
                done += 1
            left = left[done:]
        return answers

    def _batch(
        self, name: str, each: Sequence[Mapping[str, Any]], *, key: str = ""
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """One request with an alias for each set of variables; `key`, a job's id, is made the request's own."""
        if len(each) == 1:
            variables = dict(each[0])
        else:
            variables = {f"{name}{i}": value for i, one in enumerate(each) for name, value in one.items()}
        key = f"{key}:{_digest(variables)}" if key else ""
        answer = self.ask(name, operations.text(name, len(each)), variables, key=key)
        return answer.get("data") or {}, answer.get("errors") or []


def _digest(variables: Mapping[str, Any]) -> str:
    """What one request of a job is told from another by: batches, and tries under another version, are not the same."""
    return hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()[:16]


def _failed_position(name: str, size: int, error: Mapping[str, Any]) -> int:
    """Which alias failed. Raises the error itself when it names none, and so the whole request failed."""
    aliases = [_alias(position, size, name) for position in range(size)]
    failed = alias_of(error)
    if failed not in aliases:
        raise error_of(name, error)
    return aliases.index(failed)


def _alias(position: int, size: int, name: str) -> str:
    return f"a{position}" if size > 1 else name


def _failed(name: str, batch: Sequence[str], errors: Sequence[Mapping[str, Any]]) -> dict[str, JobError]:
    positions = {_alias(position, len(batch), name): one for position, one in enumerate(batch)}
    return {positions[alias_of(e)]: error_of(name, e) for e in errors if alias_of(e) in positions}


def _whole(found: Mapping[str, Any]) -> Mapping[str, list[Any]]:
    """All answers of a batch. Raises the first error, for half a campaign must not look like a whole one."""
    for answer in found.values():
        if isinstance(answer, JobError):
            raise answer
    return found


def _typed(name: str, value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TransientError(f"{name}: the answer does not fit the contract: {error}") from None


def connect(
    connection: Redis, *, url: str, token: str, timeout: timedelta, threshold: int, duration: timedelta
) -> MainApi:
    """A client of its own."""
    breaker = Breaker(connection, threshold=threshold, duration=duration, longest_call=timeout)
    return MainApi(PooledTransport(url, token, timeout=timeout), breaker, Cache(connection))


@cache
def main_api() -> MainApi:
    """The client of this process, from the settings."""
    connection = Redis.from_url(settings.REDIS_URL, health_check_interval=30, socket_timeout=5)
    api = connect(
        connection,
        url=settings.API_URL,
        token=settings.API_SERVICE_ACCOUNT_TOKEN,
        timeout=settings.API_REQUEST_TIMEOUT,
        threshold=settings.API_CIRCUIT_BREAKER_THRESHOLD,
        duration=settings.API_CIRCUIT_BREAKER_DURATION,
    )
    api.observers.append(_count_call)
    api.breaker.listeners.append(lambda _was, now: tally.add("breaker_moves", now))
    return api


def _count_call(call: ApiCall) -> None:
    result = call.result if call.result in _RESULTS else "other"  # extension codes are the main API's to choose
    tally.add("api_requests", call.operation, result)
    tally.observe("api_request_seconds", call.seconds, call.operation)
