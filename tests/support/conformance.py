"""A check of the main API against a sandbox in this process, which proves that it changes nothing."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jobs.main_api.answers import Answer, Reply, Request, read_reply
from jobs.main_api.conformance.check import check
from jobs.main_api.conformance.report import Report, Verdict
from jobs.main_api.heard import Heard
from sandbox.server import Answer as Response
from sandbox.server import Sandbox
from sandbox.world import World

JWT, KEY = "a.jwt.of-tests", "camp_sk_tests"
BY_CAMPAIGN, BY_ENTITY = Heard(1.0, 1.0, 0.0), Heard(0.0, 0.0, 1.0)
Payload = Mapping[str, Any]
LARGE = {"data": {"campaign": None}}
NO_SCHEMA = {"errors": [{"message": "introspection is off", "extensions": {"code": "FORBIDDEN_HERE"}}]}


class Recorder:
    """Sends to a sandbox; most of the work, its schema and a large query, only where it matters."""

    def __init__(self, sandbox: Sandbox, *, introspects: bool = False) -> None:
        self.sent: list[Payload] = []
        self._sandbox = sandbox
        self._introspects = introspects

    def __call__(self, payload: Payload, *, request: Request = Request.QUERY) -> Answer:
        """As PooledTransport.send."""
        self.sent.append(payload)
        if "__schema" in payload["query"] and not self._introspects:
            return read_reply(Reply(200, json.dumps(NO_SCHEMA).encode()), request)
        if "a1000: id" in payload["query"] and not self._sandbox.points & {9, 17} and not self._introspects:
            return read_reply(Reply(200, json.dumps(LARGE).encode()), request)
        token = self._sandbox.token
        header = {"x-api-key": token} if token == KEY else {"authorization": f"Bearer {token}"}
        try:
            reply = Reply(200, self._sandbox.graphql(header, json.dumps(payload).encode()))
        except Response as other:
            reply = Reply(other.status, other.body)
        return read_reply(reply, request)


def check_sandbox(
    points: Iterable[int] = (),
    *,
    world: World | None = None,
    token: str = JWT,
    effects: Iterable[str] = ("effect-1-1",),
    heard: Heard | None = None,
    introspects: bool = False,
) -> Report:
    """Check a sandbox of the dialect. Raises AssertionError if anything has changed in it, or could have."""
    points = frozenset(points)
    sandbox = Sandbox(world or World(), token, points)
    send, before = Recorder(sandbox, introspects=introspects), state_of(sandbox)
    heard = heard or (BY_ENTITY if 12 in points else BY_CAMPAIGN)
    report = check(send, url="http://api.test", is_key=token == KEY, by="tests", effect_ids=effects, heard=heard)
    assert state_of(sandbox) == before
    assert [payload for payload in send.sent if not is_harmless(payload, sandbox)] == []
    assert report.requests == len(send.sent) <= 20
    return report


def state_of(sandbox: Sandbox) -> str:
    """All that the sandbox keeps, with versions and history."""
    return json.dumps([sandbox.world.dump(), sandbox.world.branches])


def is_harmless(payload: Payload, sandbox: Sandbox) -> bool:
    """Whether a request would change nothing, even if the main API took it."""
    if not payload["query"].startswith("mutation"):
        return True
    given, world = payload["variables"].get("input", {}), sandbox.world
    if "executeEffect(" in payload["query"]:
        return given["dryRun"] is True
    if "advanceWorldTime(" in payload["query"]:
        return given["campaignId"] not in world.campaigns
    if "updateSettlement(" in payload["query"]:
        town = world.settlements.get(payload["variables"]["id"])
        return town is None or (given["expectedVersion"] != town["version"] and given["level"] == town["level"])
    return False


def verdicts(report: Report) -> dict[int, Verdict]:
    return {point.point: point.verdict for point in report.points}


def finding(report: Report, number: int) -> str:
    """What a point says."""
    return next(point.as_sentence() for point in report.points if point.point == number)


def answer_with(answers: Callable[[Payload], object]) -> Callable[..., Answer]:
    """A `send` whose responses are `answers`: a status, bytes, or what becomes JSON."""

    def send(payload: Payload, *, request: Request = Request.QUERY) -> Answer:
        said = answers(payload)
        if isinstance(said, int):
            return read_reply(Reply(said, b""), request)
        return read_reply(Reply(200, said if isinstance(said, bytes) else json.dumps(said).encode()), request)

    return send
