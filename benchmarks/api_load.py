"""HTTP load on the sandbox: one thread with several raw sockets, so that the client is never the bottleneck."""

import json
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

from benchmarks.drained import BenchmarkFailed

CONNECTIONS = 16
READ = "query settlement($id: ID!) { settlement(id: $id) { id kingdomId name level variables version archivedAt } }"
WRITE = (
    "mutation updateSettlement($id: ID!, $input: UpdateSettlementInput!) { updateSettlement(id: $id, input: $input)"
    " { id kingdomId name level variables version archivedAt } }"
)


def read_body(connection: int, turn: int) -> bytes:
    return json.dumps({"query": READ, "variables": {"id": _settlement(connection)}}).encode()


def write_body(connection: int, turn: int) -> bytes:
    """Update the connection's own settlement, in a world that nobody else changes."""
    branch = f"campaign-{connection // 6 + 1}-main"
    changes = {"branchId": branch, "expectedVersion": turn + 1, "variables": {"population": turn}}
    return json.dumps({"query": WRITE, "variables": {"id": _settlement(connection), "input": changes}}).encode()


def operations_per_second(url: str, token: str, body: Callable[[int, int], bytes], *, count: int) -> float:
    """Send about `count` requests over CONNECTIONS kept-alive sockets, one at a time on each.

    Raises BenchmarkFailed if an answer holds an error.
    """
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nx-api-key: {token}\r\n"
    )
    turns = max(1, count // CONNECTIONS)
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        first = []
        for n in range(CONNECTIONS):
            connection = stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 80)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            requests = iter([_request(head, body(n, turn)) for turn in range(turns)])
            selector.register(connection, selectors.EVENT_READ, (connection, requests))
            first.append((connection, next(requests)))
        began = time.perf_counter()
        for connection, request in first:
            connection.sendall(request)
        _converse(selector, turns * CONNECTIONS)
        return turns * CONNECTIONS / (time.perf_counter() - began)


def _converse(selector: selectors.BaseSelector, count: int) -> None:
    answered = 0
    while answered < count:
        for key, _ in selector.select(10):
            connection, requests = key.data
            _check(connection.recv(65536))
            answered += 1
            following = next(requests, None)
            if following is not None:
                connection.sendall(following)


def _settlement(connection: int) -> str:
    return f"settlement-{connection // 6 + 1}-{connection // 3 % 2 + 1}-{connection % 3 + 1}"


def _request(head: str, body: bytes) -> bytes:
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _check(answer: bytes) -> None:
    # The answer for one entity always arrives in one piece.
    if not answer.startswith(b"HTTP/1.1 200") or b'"errors"' in answer:
        raise BenchmarkFailed(f"the sandbox answered {answer[:200]!r}")
