"""The sandbox's GraphQL endpoint, kept lean so that benchmarks do not measure it."""

import base64
import json
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sandbox.answer import Answer, problem, read_json
from sandbox.contract import Record
from sandbox.dialect import Dialect, Unauthorized
from sandbox.faults import Faults
from sandbox.load import Load
from sandbox.schema import Service, is_mutation
from sandbox.world import World

GAME_MASTER = "game-master"  # whoever changes the world past the API
REMEMBERED = 10_000  # answers kept by Idempotency-Key
_mutating = lru_cache(maxsize=2000)(is_mutation)


class Sandbox:
    """The world, the faults, the counters, and what the dialect makes of them."""

    def __init__(self, world: World, token: str, points: frozenset[int] = frozenset()) -> None:
        self.token = token
        self._account = account_of(token)
        self._by = GAME_MASTER  #: whose request is carried out
        self.faults = Faults()
        self.points = self._points_at_start = points
        self._send = world.publish
        self._begin(world)

    def _begin(self, world: World) -> None:
        self.world = world
        self.requests = 0
        self.load = Load()
        self.counts: Counter[str] = Counter()
        self.recent: deque[Record] = deque(maxlen=200)
        self._remembered: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        world.publish = self._publish
        self.speak(self.points)

    def restart(self, world: World) -> None:
        """Begin anew with this world, without faults and in the dialect of the start."""
        self.faults, self.points = Faults(), self._points_at_start
        self._begin(world)

    def speak(self, points: frozenset[int], *, missing_is_error: bool = False) -> None:
        """Switch to the dialect of these points; the world stays."""
        self.points = points
        self.service = Service(self.world, self._before, Dialect(points, missing_is_error=missing_is_error))

    def _publish(self, channel: str, body: Record) -> None:
        if told := self.service.dialect.publishes(self.world, channel, body, by=self._by):
            self._send(*told)

    def _before(self, name: str, args: dict[str, Any]) -> None:
        self.counts[name] += 1
        self.faults.before_field(self.world, name, args)

    def graphql(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """POST /graphql. Raises Answer for anything that is not a GraphQL response."""
        self.requests += 1
        self._check_credential(headers)
        if 0 < self.service.dialect.largest_body < len(body):
            raise Answer(413, {"error": "request entity too large"})
        request = read_json(body)
        query = request.get("query")
        if not isinstance(query, str):
            raise Answer(400, problem("BAD_USER_INPUT", "query: expected a string"))
        if self.faults.apply_to(query):
            self._fail(len(body))
        key = headers.get("idempotency-key", "")
        mutating = _mutating(query)
        note = {"idempotencyKey": key, "requestId": headers.get("x-request-id", ""), "query": query[:80]}
        self.recent.append(note)
        remembers = bool(key) and mutating and not self.faults.ignoreKeys
        if remembers and key in self._remembered:
            first, encoded = self._remembered[key]
            if first != body:  # as draft-ietf-httpapi-idempotency-key-header has it
                raise Answer(422, problem("BAD_REQUEST", f"Idempotency-Key {key} was used for another request"))
            return encoded
        self._by = self._account
        try:
            answer = self.service.execute(
                query, request.get("variables"), request.get("operationName"), api_key="x-api-key" in headers
            )
        except Unauthorized:
            raise Answer(401, problem("UNAUTHENTICATED", "the API key is not valid here")) from None
        finally:
            self._by = GAME_MASTER
        encoded = json.dumps(answer, separators=(",", ":")).encode()
        if remembers and _has_changed_world(answer):
            self._remembered[key] = (body, encoded)
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return encoded

    def _check_credential(self, headers: Mapping[str, str]) -> None:
        if not self.token:
            return
        given = headers.get("x-api-key") if self.token.startswith("camp_sk_") else headers.get("authorization")
        expected = self.token if self.token.startswith("camp_sk_") else f"Bearer {self.token}"
        if given != expected:
            raise Answer(401, problem("UNAUTHENTICATED", "the credential is missing or wrong"))

    def _fail(self, size: int) -> None:
        if self.faults.largestRequest and size > self.faults.largestRequest:
            raise Answer(413, {"error": "request entity too large"})
        if self.faults.rateLimit.get("next", 0) > 0:
            self.faults.rateLimit["next"] -= 1
            after = str(self.faults.rateLimit.get("retryAfterS", 1))
            raise Answer(429, problem("TOO_MANY_REQUESTS", "slow down"), {"Retry-After": after})
        if self.faults.malformed > 0:
            self.faults.malformed -= 1
            raise Answer(200, b"<html>not JSON</html>")
        if self.faults.unlucky(self.faults.errorRate):
            raise Answer(500, {"error": "internal"})


def account_of(token: str) -> str:
    """Return the account that a credential is for: a JWT names it.

    >>> account_of("e30.eyJzdWIiOiJzY2hlZHVsZXIifQ.c2lnbmVk"), account_of("camp_sk_1")
    ('scheduler', 'service-account')
    """
    _, _, claims = token.rpartition(".")[0].rpartition(".")
    try:
        return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])
    except (ValueError, KeyError, TypeError):
        return "service-account"


def _has_changed_world(answer: Record) -> bool:
    """Return whether the world changed; a refused request may be repeated under its key once the cause is gone."""
    results = answer["data"].values() if "errors" not in answer else ()
    return bool(results) and not any(result.get("success") is False for result in results)
