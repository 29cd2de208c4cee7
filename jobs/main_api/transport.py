"""HTTP to the main API over a pool of keep-alive connections, without its own retries.

It uses libcurl, which takes a third of urllib3's CPU time and applies one timeout to the whole exchange.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import certifi
import pycurl
from django.conf import settings

from jobs.errors import JobError, TooLarge, TooManyRequests, TransientError
from jobs.main_api import wire
from jobs.main_api.answers import Answer, Fault, Reply, Request, is_clear, read_reply
from jobs.main_api.gate import Admitted, Gate

IDLE_CONNECTIONS: Final = 5  # kept for later requests
_MB: Final = 1024 * 1024
LONGEST_RETRY_AFTER: Final = 3600  # seconds
_KIND_LENGTH: Final = 40  #: characters of a document that tell its operation, and whether it has aliases


def authentication(token: str) -> dict[str, str]:
    """The header with the service account's credential."""
    if not token:
        return {}
    return {"x-api-key": token} if token.startswith("camp_sk_") else {"Authorization": f"Bearer {token}"}


class PooledTransport:
    """Sends requests that the gate lets in, each over a connection of its own; thread-safe."""

    def __init__(self, url: str, token: str, gate: Gate, *, timeout: timedelta) -> None:
        self.gate = gate
        self._url = url
        self._timeout = timeout
        self._largest: int = settings.API_LARGEST_ANSWER_MB * _MB  #: answer, decoded
        headers = {"Content-Type": "application/json", "Accept": "application/json", **authentication(token)}
        # An empty "Expect:" keeps libcurl from waiting for "100 Continue" before a large body.
        self._headers = ["Expect:", "Accept-Encoding:", *(f"{name}: {value}" for name, value in headers.items())]
        self._idle: deque[pycurl.Curl] = deque()

    def send(
        self,
        payload: Mapping[str, Any],
        *,
        request: Request = Request.QUERY,
        headers: Mapping[str, str] | None = None,
        urgent: bool = False,
        begin: Callable[[Admitted], None] | None = None,
    ) -> Answer:
        """POST a GraphQL payload and return the response.

        Waits for the gate, calls `begin`, and sends nothing if that raises. A request that must not be sent twice uses
        a new connection, because libcurl resends a request by itself if a keep-alive connection turns out to be closed.
        Raises NoPermit, Fault for transport errors, and whatever `answers.read_reply` raises.
        """
        body = wire.encode(payload)
        timeout_s = self._timeout.total_seconds()
        entry = self.gate.enter(timeout_s=timeout_s, urgent=urgent)
        in_flight, took_s = entry.in_flight, 0.0
        try:
            if begin:
                begin(entry)
            reply = self.exchange(body, request, headers or {})
        except Fault:
            took_s = time.monotonic() - entry.began
            raise
        finally:
            in_flight = self.gate.leave(entry)
            if took_s >= timeout_s:
                self.gate.note_answer(entry, _kind(payload, body), took_s, in_flight=in_flight)
        if reply.status in (413, 429):
            self.gate.note_refusal(entry, reply.status, reply.retry_after)
        answer = read_reply(reply, request)
        if any(error.kind is TooManyRequests for error in answer.errors):
            self.gate.note_refusal(entry, 429, None)
        elif reply.seconds and not answer.errors:
            self.gate.note_answer(entry, _kind(payload, body), reply.seconds, in_flight=in_flight)
        return answer

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def exchange(self, sent: bytes, request: Request, headers: Mapping[str, str]) -> Reply:
        """One request on an idle or a new connection; `send` limits how many there are."""
        curl = self._idle.pop() if self._idle else self._connection()
        body = _Body(self._largest)
        given = [f"{name}: {value.encode('ascii', 'replace').decode()}" for name, value in headers.items()]
        curl.setopt(pycurl.WRITEDATA, body)
        curl.setopt(pycurl.POSTFIELDS, sent)
        curl.setopt(pycurl.HTTPHEADER, [*self._headers, *given])
        curl.setopt(pycurl.FRESH_CONNECT, int(request is Request.ONCE))
        try:
            curl.perform()
        except pycurl.error as error:
            code, message = (*error.args, "")[:2]
            has_left = curl.getinfo(pycurl.REQUEST_SIZE) > 0
            status, wait = _head(curl)
            curl.close()
            if is_clear(status):
                return Reply(status, b"", wait)
            if body.is_too_large or code == pycurl.E_FILESIZE_EXCEEDED:
                raise self._too_large(request) from error
            text = f"main API: {message or 'transport fault'} (curl {code})"
            raise Fault(request.unclear(text) if has_left else TransientError(text)) from error
        status, wait = _head(curl)
        seconds = curl.getinfo(pycurl.STARTTRANSFER_TIME) - curl.getinfo(pycurl.PRETRANSFER_TIME)
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(curl)
        else:
            curl.close()
        return Reply(status, b"".join(body.parts), wait, seconds)

    def _connection(self) -> pycurl.Curl:
        curl = pycurl.Curl()
        milliseconds = max(1, int(self._timeout / timedelta(milliseconds=1)))
        for option, value in (
            (pycurl.URL, self._url),
            (pycurl.POST, 1),
            (pycurl.NOSIGNAL, 1),  # signals do not work in threads
            (pycurl.TIMEOUT_MS, milliseconds),  # for the whole exchange, so that a trickling response times out too
            (pycurl.CONNECTTIMEOUT_MS, milliseconds),
            (pycurl.MAXFILESIZE_LARGE, self._largest),
            (pycurl.ACCEPT_ENCODING, ""),  # decode any encoding, although `_headers` requests none
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROXY, ""),  # ignore the environment's proxy variables
            (pycurl.CAINFO, certifi.where()),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        ):
            curl.setopt(option, value)
        return curl

    def _too_large(self, request: Request) -> JobError:
        """A smaller query may work; whether a mutation was carried out is unknown."""
        text = f"main API: the answer is larger than {self._largest // _MB} MB (API_LARGEST_ANSWER_MB)"
        return TooLarge(text) if request is Request.QUERY else request.unclear(text)


class _Body:
    """Collects the response body up to the limit: libcurl aborts when `write` accepts less than it was given."""

    __slots__ = ("is_too_large", "largest", "parts", "size")

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.parts: list[bytes] = []
        self.size = 0
        self.is_too_large = False

    def write(self, part: bytes) -> int:
        self.size += len(part)
        self.is_too_large = self.size > self.largest
        if self.is_too_large:
            return 0
        self.parts.append(part)
        return len(part)


def _kind(payload: Mapping[str, Any], body: bytes) -> tuple[str, int]:
    """What tells apart requests of different cost: the operation, and the size to the nearest power of two."""
    return payload["query"][:_KIND_LENGTH], len(body).bit_length()


def _head(curl: pycurl.Curl) -> tuple[int, timedelta | None]:
    """The status, 0 before there is one, and Retry-After."""
    seconds = min(curl.getinfo(pycurl.RETRY_AFTER), LONGEST_RETRY_AFTER)
    return curl.getinfo(pycurl.RESPONSE_CODE), timedelta(seconds=seconds) if seconds else None
