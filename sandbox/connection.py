"""The sandbox's side of an HTTP connection, with the faults of the network."""

import asyncio
import time
from uuid import uuid4

from sandbox.answer import Answer
from sandbox.control import handle
from sandbox.load import Load
from sandbox.server import Sandbox


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
        if path == "/graphql":
            sandbox.load.begin(time.monotonic())
            try:
                self._answer(method, path, headers, body)
            finally:
                if not self._busy:
                    sandbox.load.end()
        else:
            self._answer(method, path, headers, body)

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
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
                answer = Answer(200, handle(sandbox, method, path.removeprefix("/control/"), body))
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
        encoded = answer.encode(headers.get("x-request-id") or uuid4().hex)
        delay = 0.0
        if faulty and sandbox.faults.latencyMs:
            service_s = sandbox.faults.latencyMs / 1000
            delay = sandbox.load.delay(time.monotonic(), service_s, int(sandbox.faults.servers))
        trickle = sandbox.faults.trickle if faulty else 0
        if delay or trickle:
            self._busy = True
            asyncio.get_running_loop().create_task(self._send_slowly(encoded, delay, trickle, sandbox.load))
        else:
            self._transport.write(encoded)

    async def _send_slowly(self, data: bytes, delay: float, bytes_per_s: float, load: Load) -> None:
        await asyncio.sleep(delay)
        while bytes_per_s and data and not self._transport.is_closing():
            self._transport.write(data[: max(1, int(bytes_per_s / 10))])
            data = data[max(1, int(bytes_per_s / 10)) :]
            await asyncio.sleep(0.1)
        if not self._transport.is_closing():
            self._transport.write(data)
        self._busy = False
        load.end()
        self._next()
