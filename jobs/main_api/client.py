"""The main API's client: the queries and mutations that handlers use."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache, partial
from typing import Any, TypeVar
from uuid import uuid4

import structlog
from django.conf import settings
from redis import Redis

from jobs.errors import JobError, PermanentError
from jobs.main_api import operations, wire
from jobs.main_api.advancing import ADVANCE, read_advance
from jobs.main_api.answers import Answer, Request
from jobs.main_api.asking import Asking
from jobs.main_api.batches import BatchLimits
from jobs.main_api.beyond_contract import BeyondContract
from jobs.main_api.branches import MainBranches, may_be_about_branch
from jobs.main_api.breaker import Breaker
from jobs.main_api.budget import TIMEOUT_S, Budget
from jobs.main_api.cache import Cache
from jobs.main_api.calls import ApiCall, note
from jobs.main_api.counting import count_breaker_move, count_call, count_halving, count_wait
from jobs.main_api.executing import Executing
from jobs.main_api.expiring import Expiring
from jobs.main_api.gate import Gate
from jobs.main_api.listing import Listing
from jobs.main_api.model import (
    AdvancedClock,
    Branch,
    Campaign,
    Effect,
    EffectExecution,
    Event,
    Kingdom,
    Settlement,
    Structure,
)
from jobs.main_api.names import Names
from jobs.main_api.reading import SINGLE, Reading
from jobs.main_api.transport import PooledTransport
from jobs.main_api.triggering import Completion, complete, effects_of, keep_own
from jobs.main_api.updates import Update
from jobs.main_api.updating import Updating
from jobs.main_api.versions import Versions
from jobs.sending import Sending
from scheduler_project.redis_connection import connect as connect_to_redis

log = structlog.get_logger(__name__)
E = TypeVar("E", Settlement, Structure)


class MainApi:
    """A client of the main API; thread-safe, one per process."""

    def __init__(self, transport: PooledTransport, breaker: Breaker, cache: Cache, versions: Versions) -> None:
        self.transport = transport
        self.breaker = breaker
        self.cache = cache
        self.versions = versions
        self.observers: list[Callable[[ApiCall], None]] = []
        self._branches = MainBranches(
            lambda campaign_id: self._reading.list_all("branches", {"campaignId": campaign_id}, Branch)
        )
        self._limits = BatchLimits()
        self._names = Names(self.ask)
        self._beyond_contract = BeyondContract()
        self.effects = Executing(self.ask)
        self._reading = Reading(self._batch, self._limits, versions)

    # -- reading

    def campaigns(self, *, fresh: bool = False) -> Listing[Campaign]:
        """Return all campaigns that the service account can see, at most five minutes old unless `fresh`."""
        return self.cache.campaigns(lambda: self._reading.list_all("campaigns", {}, Campaign), fresh=fresh)

    def campaign(self, campaign_id: str) -> Campaign | None:
        """Return the current state of one campaign, uncached."""
        return self._reading.find("campaign", {"id": campaign_id}, Campaign)

    def campaigns_by_id(self, ids: Sequence[str]) -> dict[str, Campaign | JobError | None]:
        """Read the current state of some campaigns, READ_BATCH per request; each is None if it is gone, or its own
        error.
        """
        return self._reading.find_each("campaign", list(ids), Campaign)

    def main_branch(self, campaign_id: str) -> Branch:
        """Return the branch without a parent, which updates go to. Raises PermanentError if there is none."""
        return self._branches.of(campaign_id)

    def effect(self, effect_id: str) -> Effect | None:
        """Return an effect, at most five minutes old."""
        return self.cache.effect(effect_id, lambda: self._reading.find("getEffect", {"id": effect_id}, Effect))

    def settlements(self, ids: Sequence[str]) -> dict[str, Settlement | JobError | None]:
        """Read current settlements, READ_BATCH per request; each is None if it is gone, or its own error."""
        return self._reading.find_each("settlement", list(ids), Settlement)

    def structures(self, ids: Sequence[str]) -> dict[str, Structure | JobError | None]:
        """Read current structures, READ_BATCH per request; each is None if it is gone, or its own error."""
        return self._reading.find_each("structure", list(ids), Structure)

    def structures_by_settlement(self, settlement_ids: Sequence[str]) -> dict[str, Listing[Structure] | JobError]:
        """Read the structures of each settlement, or that settlement's own error."""
        return self._reading.list_fresh("structuresBySettlement", "settlementId", settlement_ids, Structure)

    def kingdoms(self, campaign_id: str) -> Listing[Kingdom]:
        return self._reading.list_all("kingdomsByCampaign", {"campaignId": campaign_id}, Kingdom)

    def kingdoms_by_campaign(self, campaign_ids: Sequence[str]) -> dict[str, Listing[Kingdom] | JobError]:
        """Read the kingdoms of each campaign, READ_BATCH per request, or that campaign's own error."""
        return self._reading.list_each("kingdomsByCampaign", "campaignId", list(campaign_ids), Kingdom)

    def settlements_by_kingdom(self, kingdom_ids: Sequence[str]) -> dict[str, Listing[Settlement] | JobError]:
        """Read the settlements of each kingdom, or that kingdom's own error."""
        return self._reading.list_fresh("settlementsByKingdom", "kingdomId", kingdom_ids, Settlement)

    def overdue_events(self, campaign_ids: Sequence[str]) -> dict[str, Listing[Event] | JobError]:
        """Read the overdue events of each campaign, or that campaign's own error."""
        return self._events("getOverdueEvents", campaign_ids)

    def events_by_campaign(self, campaign_ids: Sequence[str]) -> dict[str, Listing[Event] | JobError]:
        """Read all events of each campaign, completed ones too, or that campaign's own error.

        The error is NotServed where the main API has no such query: the contract does not promise it.
        """
        return self._events("eventsByCampaign", campaign_ids)

    def _events(self, name: str, campaign_ids: Sequence[str]) -> dict[str, Listing[Event] | JobError]:
        found = self._reading.list_each(name, "campaignId", list(campaign_ids), Event)
        return {one: keep_own(name, one, listed) for one, listed in found.items()}

    def event(self, event_id: str) -> Event | None:
        """Return an event as it is now. Raises NotServed, since the contract does not promise it."""
        return self._reading.find("event", {"id": event_id}, Event)

    def effects_of_event(self, event_id: str) -> list[Effect]:
        """Return all effects of an event in the order of their execution. Raises NotServed, as `event` does."""
        return effects_of(event_id, self._batch)

    # -- writing

    def expire_events(self, events: Sequence[Event], *, key: str) -> dict[str, JobError | None]:
        """Expire events, EXPIRE_BATCH per request; returns None or the error for each.

        An event that is already completed counts as expired. Aliases after a failed one have not run and are sent
        again without it. Where the error names no alias, the events tell which have run.
        """

        def single(ids: Sequence[str]) -> dict[str, Event | JobError | None]:
            return self._reading.find_each("event", list(ids), Event)

        return Expiring(self._batch, self.overdue_events, single).run(events, key)

    def execute_effect(self, effect_id: str, *, key: str, sending: Sending) -> EffectExecution:
        """Execute an effect; not idempotent. `sending` records when sending begins and how it ended.

        Raises OutcomeUnknown(may_resend=False) if it may have been executed, and other errors if it clearly was not
        (see answers.py): PermanentError if the main API reports a failure.
        """
        return self.effects.run(effect_id, key, sending)

    def complete_event(self, event_id: str, *, key: str, sending: Sending) -> Completion:
        """Complete an event, by which the main API runs its effects; not idempotent, like `execute_effect`."""
        return complete(event_id, self.ask, key=key, sending=sending)

    def update_settlements(
        self, updates: Sequence[Update[Settlement]], *, branch_id: str
    ) -> dict[str, Settlement | JobError]:
        """Write levels and variables with the versions that were read, WRITE_BATCH per request.

        Returns for each the updated settlement or its error: VersionConflict if it has changed since it was read.
        """
        return self._update_each("updateSettlement", updates, Settlement, branch_id)

    def update_structures(
        self, updates: Sequence[Update[Structure]], *, branch_id: str
    ) -> dict[str, Structure | JobError]:
        return self._update_each("updateStructure", updates, Structure, branch_id)

    def advance_world_time(self, campaign_id: str, to: str, *, branch_id: str, key: str) -> AdvancedClock:
        """Move a campaign's world time forward to `to`; safe to send again, as time that has moved stays moved.

        Raises PermanentError if `to` is not after the world time, and VersionConflict if somebody else moves it.
        """

        def send(branch_id: str) -> AdvancedClock:
            wanted = {"campaignId": campaign_id, "to": to, "branchId": branch_id}
            return read_advance(self._batch(ADVANCE, [{"input": wanted}], key=key), campaign_id)

        try:
            return send(branch_id)
        except PermanentError as refused:
            successor = self._branches.successor(branch_id) if may_be_about_branch(refused) else None
            if successor is None:
                raise
            return send(successor.id)

    # -- requests

    def ask(
        self, name: str, document: str, variables: Mapping[str, Any], *, key: str = "", once: Sending | None = None
    ) -> Answer:
        """Send one request through the breaker and return the whole response, including GraphQL errors.

        `key` marks a mutation and is its Idempotency-Key, which a retry of the same request must repeat. `once` marks
        a mutation that must never be sent twice.

        Raises MustWait without sending, and whatever `once` and the transport raise.
        """
        request = Request.ONCE if once else Request.UPDATE if key else Request.QUERY
        asking = Asking(self.breaker, once)
        request_id = str(structlog.contextvars.get_contextvars().get("request_id") or uuid4().hex)
        headers = {"X-Request-Id": request_id} | ({"Idempotency-Key": key} if key else {})
        payload = {"query": document, "variables": variables}
        try:
            with asking:
                answer = self.transport.send(
                    payload, request=request, headers=headers, urgent=asking.is_probe, begin=asking.begin
                )
                return asking.end(answer)
        finally:
            if asking.result:
                seconds = time.perf_counter() - asking.began
                self._note(ApiCall(name, asking.began, seconds, asking.result, request_id))

    def _note(self, call: ApiCall) -> None:
        """Notify observers, whose errors must not hide how the call ended."""
        note(call)
        log.debug(
            "main_api.called", operation=call.operation, duration_ms=round(call.seconds * 1000, 1), result=call.result
        )
        for observer in self.observers:
            try:
                observer(call)
            except Exception:
                log.exception("main_api.observer_failed", operation=call.operation)

    def _update_each(
        self, name: str, updates: Sequence[Update[E]], kind: type[E], branch_id: str
    ) -> dict[str, E | JobError]:
        def send(each: Sequence[Mapping[str, Any]], key: str) -> Answer:
            return self._batch(name, each, key=key)

        def read_back(ids: Sequence[str]) -> dict[str, E | JobError | None]:
            return self._reading.find_each(SINGLE[kind], list(ids), kind)

        answers = Updating(name, self._limits, send, read_back).run(updates, branch_id)
        refused = [update for update in updates if may_be_about_branch(answers[update.entity.id])]
        try:
            successor = self._branches.successor(branch_id) if refused else None
        except JobError as unread:
            successor = None
            answers |= {update.entity.id: unread for update in refused}
        if successor:
            answers |= Updating(name, self._limits, send, read_back).run(refused, successor.id)
        self.versions.note({i: one.version for i, one in answers.items() if isinstance(one, kind)})
        return answers

    def _batch(self, name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer:
        """Send one request with an alias per set of variables; extends `key`, a job's ID, to identify this request."""
        if len(each) == 1:
            variables = dict(each[0])
        else:
            variables = {f"{name}{i}": value for i, one in enumerate(each) for name, value in one.items()}
        if not key:
            send = partial(self._names.query, name, variables, size=len(each))
            return self._beyond_contract.query(name, send) if name in operations.beyond_contract() else send()
        return self.ask(name, operations.text(name, len(each)), variables, key=f"{key}:{_digest(variables)}")


def _digest(variables: Mapping[str, Any]) -> str:
    """Distinguishes requests of one job, such as batches and retries with another version."""
    return hashlib.sha256(wire.encode_unsent(variables)).hexdigest()[:16]


def connect(
    connection: Redis,
    *,
    url: str,
    token: str,
    timeout: timedelta,
    threshold: int,
    duration: timedelta,
    impatient: Redis | None = None,
) -> MainApi:
    """Create a client with its own gate, transport and breaker. `impatient`: a connection for the gate."""
    gate = Gate(Budget(impatient or connection, timeout=timeout))
    breaker = Breaker(connection, threshold=threshold, duration=duration, longest_call=timeout)
    return MainApi(PooledTransport(url, token, gate, timeout=timeout), breaker, Cache(connection), Versions(connection))


@cache
def main_api() -> MainApi:
    """This process's client, configured from the settings."""
    connection = connect_to_redis(settings.REDIS_URL, health_check_interval=30, socket_timeout=5)
    api = connect(
        connection,
        impatient=connect_to_redis(settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S),
        url=settings.API_URL,
        token=settings.API_SERVICE_ACCOUNT_TOKEN,
        timeout=settings.API_REQUEST_TIMEOUT,
        threshold=settings.API_CIRCUIT_BREAKER_THRESHOLD,
        duration=settings.API_CIRCUIT_BREAKER_DURATION,
    )
    api.observers.append(count_call)
    api.breaker.listeners.append(count_breaker_move)
    api.transport.gate.wait_observers.append(count_wait)
    api.transport.gate.halving_observers.append(count_halving)
    return api
