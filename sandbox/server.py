"""The sandbox's HTTP server, kept lean so that benchmarks do not measure it."""

import asyncio
import json
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import uuid4

from sandbox.dialect import DIALECTS, POINTS, Dialect, Unauthorized
from sandbox.faults import BadFaults, Faults
from sandbox.schema import Service, is_mutation
from sandbox.world import Record, Refusal, Size, World, parse, stamp

log = logging.getLogger("sandbox")
PLANTED = ("events", "effects", "settlements", "structures", "campaigns", "kingdoms")
REMEMBERED = 10_000  # answers kept by Idempotency-Key
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    422: "Unprocessable Content",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
}
_mutating = lru_cache(maxsize=2000)(is_mutation)


class Answer(Exception):
    """An HTTP response, raised to end the handling of a request."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = headers or {}


class Sandbox:
    """The world, the faults, the counters, and the handler of each path."""

    def __init__(self, world: World, token: str, points: frozenset[int] = frozenset()) -> None:
        self.token = token
        self.faults = Faults()
        self.points = self._points_at_start = points
        self._send = world.publish
        self._begin(world)

    def _begin(self, world: World) -> None:
        self.world = world
        self.requests = 0
        self.counts: Counter[str] = Counter()
        self.recent: deque[Record] = deque(maxlen=200)
        self._remembered: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        world.publish = self._publish
        self.service = Service(world, self._before, Dialect(self.points))

    def _publish(self, channel: str, body: Record) -> None:
        if told := self.service.dialect.publishes(self.world, channel, body):
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
        request = _json(body)
        query = request.get("query")
        if not isinstance(query, str):
            raise Answer(400, _problem("BAD_USER_INPUT", "query: expected a string"))
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
                raise Answer(422, _problem("BAD_REQUEST", f"Idempotency-Key {key} was used for another request"))
            return encoded
        try:
            answer = self.service.execute(
                query, request.get("variables"), request.get("operationName"), api_key="x-api-key" in headers
            )
        except Unauthorized:
            raise Answer(401, _problem("UNAUTHENTICATED", "the API key is not valid here")) from None
        encoded = json.dumps(answer, separators=(",", ":")).encode()
        if remembers and _carried_out(answer):
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
            raise Answer(401, _problem("UNAUTHENTICATED", "the credential is missing or wrong"))

    def _fail(self, size: int) -> None:
        if self.faults.largestRequest and size > self.faults.largestRequest:
            raise Answer(413, {"error": "request entity too large"})
        if self.faults.rateLimit.get("next", 0) > 0:
            self.faults.rateLimit["next"] -= 1
            after = str(self.faults.rateLimit.get("retryAfterS", 1))
            raise Answer(429, _problem("TOO_MANY_REQUESTS", "slow down"), {"Retry-After": after})
        if self.faults.malformed > 0:
            self.faults.malformed -= 1
            raise Answer(200, b"<html>not JSON</html>")
        if self.faults.unlucky(self.faults.errorRate):
            raise Answer(500, {"error": "internal"})

    # -- control

    def control(self, method: str, path: str, body: bytes) -> object:
        """Handle a path below /control. Raises Answer (400 or 404)."""
        handlers: dict[tuple[str, str], Callable[[], object]] = {
            ("GET", "stats"): self._stats,
            ("GET", "world"): self.world.dump,
            ("GET", "faults"): self.faults.as_json,
            ("POST", "faults"): lambda: self._set_faults(_json(body)),
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "dialect"): self._show_dialect,
            ("POST", "dialect"): lambda: self._set_dialect(_json(body)),
            ("POST", "reset"): lambda: self._reset(_json(body or b"{}")),
            ("POST", "advance"): lambda: self._advance(_json(body)),
        }
        if method == "POST" and path in PLANTED:
            handlers[method, path] = lambda: self._plant(path, _json(body))
        if (method, path) not in handlers:
            raise Answer(404, {"error": f"no such path: {method} /control/{path}"})
        try:
            return handlers[method, path]()
        except (BadFaults, Refusal) as bad:
            raise Answer(400, {"error": str(bad)}) from None
        except (KeyError, TypeError, ValueError) as missing:
            raise Answer(400, {"error": f"missing or malformed: {missing}"}) from None

    def _stats(self) -> object:
        counts = {"requests": self.requests, "operations": self.counts, "executions": len(self.world.executions)}
        return {**counts, "recent": list(self.recent)}

    def _set_faults(self, wanted: Record) -> object:
        self.faults.set(wanted)
        return self.faults.as_json()

    def _clear_faults(self) -> object:
        self.faults = Faults()
        return self.faults.as_json()

    def _show_dialect(self) -> object:
        return {"points": sorted(self.points), "known": {str(number): text for number, text in POINTS.items()}}

    def _set_dialect(self, wanted: Record) -> object:
        """Switch to {"dialect": name} or to {"points": [numbers]}; the world stays."""
        if "dialect" in wanted:
            points = DIALECTS[wanted["dialect"]]
        else:
            points = frozenset(int(number) for number in wanted["points"])
        if unknown := points - POINTS.keys():
            raise BadFaults(f"points: {sorted(unknown)} unknown; known: 1 to {max(POINTS)}")
        self.points = points
        self.service = Service(self.world, self._before, Dialect(points))
        return self._show_dialect()

    def _reset(self, wanted: Record) -> object:
        seed = int(wanted.pop("seed", self.world.seed))
        size = Size(**{**asdict(self.world.size), **wanted})
        self.faults, self.points = Faults(), self._points_at_start
        self._begin(World(size=size, seed=seed))
        return {"seed": seed, **asdict(size)}

    def _advance(self, wanted: Record) -> object:
        campaign = self.world.campaigns[wanted["campaignId"]]
        to = wanted.get("to")
        if to is None:
            to = stamp(parse(campaign["currentWorldTime"]) + timedelta(minutes=float(wanted["minutes"])))
        return self.world.advance(wanted["campaignId"], to)

    def _plant(self, table: str, record: Record) -> Record:
        makers = {
            "events": lambda r: self.world.plant_event(r["id"], r["campaignId"], r["scheduledAt"]),
            "effects": lambda r: self.world.plant_effect(r["id"], r["entityId"]),
        }
        known = record["id"] in getattr(self.world, table)
        if not known and table in makers:
            makers[table](record)
        planted = self.world.plant(table, record)
        kind = {"events": "Event", "effects": "Event", "settlements": "Settlement", "structures": "Structure"}.get(
            table
        )
        if kind:
            entity_id = planted["entityId"] if table == "effects" else planted["id"]
            campaign = planted.get("campaignId") or (
                self.world.events.get(planted["entityId"], {}).get("campaignId", "")
                if table == "effects"
                else self.world.campaign_of(planted)
            )
            self.world.modified(campaign, kind, entity_id, "UPDATE" if known else "CREATE")
        return planted


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection; it answers requests one at a time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._buffer = b""
        self._busy = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Buffer data until a request is complete."""
        self._buffer += data
        self._next()

    def _next(self) -> None:
        while not self._busy:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            line, *lines = head.decode("latin-1").split("\r\n")
            headers = {k.strip().lower(): v.strip() for k, _, v in (text.partition(":") for text in lines)}
            length = int(headers.get("content-length") or 0)
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            method, path, _ = line.split(" ", 2)
            self._handle(method, path.partition("?")[0], headers, rest[:length])

    def _handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        sandbox = self._sandbox
        faulty = path == "/graphql" and sandbox.faults.apply_to(body.decode("utf-8", "replace"))
        if faulty and sandbox.faults.outage:
            self._transport.abort()
            return
        try:
            if (method, path) == ("POST", "/graphql"):
                answer = Answer(200, sandbox.graphql(headers, body))
            elif path == "/health":
                answer = Answer(200, {"status": "healthy"})
            elif path.startswith("/control/"):
                answer = Answer(200, sandbox.control(method, path.removeprefix("/control/"), body))
            else:
                answer = Answer(404, {"error": f"no such path: {path}"})
        except Answer as other:
            answer = other
        if faulty and sandbox.faults.replies:
            reply = sandbox.faults.replies.pop(0)
            body = (reply.get("body", "") * reply.get("times", 1)).encode()
            answer = Answer(reply.get("status", 200), body)
        if faulty and sandbox.faults.loseAnswers > 0:
            sandbox.faults.loseAnswers -= 1
            self._transport.abort()
            return
        encoded = _encode(answer, headers.get("x-request-id") or uuid4().hex)
        delay = sandbox.faults.latencyMs / 1000 if faulty else 0
        trickle = sandbox.faults.trickle if faulty else 0
        if delay or trickle:
            self._busy = True
            asyncio.get_running_loop().create_task(self._send_slowly(encoded, delay, trickle))
        else:
            self._transport.write(encoded)

    async def _send_slowly(self, data: bytes, delay: float, bytes_per_s: float) -> None:
        await asyncio.sleep(delay)
        while bytes_per_s and data and not self._transport.is_closing():
            self._transport.write(data[: max(1, int(bytes_per_s / 10))])
            data = data[max(1, int(bytes_per_s / 10)) :]
            await asyncio.sleep(0.1)
        if not self._transport.is_closing():
            self._transport.write(data)
        self._busy = False
        self._next()


def _encode(answer: Answer, request_id: str) -> bytes:
    extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    head = (
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Other')}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(answer.body)}\r\nX-Request-Id: {request_id}\r\n{extra}\r\n"
    )
    return head.encode("latin-1") + answer.body


def _problem(code: str, message: str) -> Record:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def _carried_out(answer: Record) -> bool:
    """Return whether the world changed; a refused request may be repeated under its key once the cause is gone."""
    results = answer["data"].values() if "errors" not in answer else ()
    return bool(results) and not any(result.get("success") is False for result in results)


def _json(body: bytes) -> Record:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Answer(400, {"error": f"body: not JSON: {error}"}) from None
    if not isinstance(found, dict):
        raise Answer(400, {"error": "body: expected a JSON object"})
    return found
