"""HTTP to the main API: a gql transport on one pool of kept-alive connections, without retries of its own.

On libcurl, which needs a third of the CPU time that urllib3 does and holds the whole exchange to one time limit.
"""

import json
import threading
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from io import BytesIO
from typing import Any, Final

import certifi
import pycurl
from gql import GraphQLRequest
from gql.transport import Transport
from graphql import ExecutionResult

from jobs.errors import JobError, NotAuthorized, OutcomeUnknown, TransientError

CONNECTIONS: Final = 10  # open at the same time
IDLE_CONNECTIONS: Final = 5  # kept for the next request
LARGEST_ANSWER: Final = 64 * 1024 * 1024  # bytes
LONGEST_RETRY_AFTER: Final = 3600  # seconds


class Fault(Exception):
    """A transport fault or 5xx: what the circuit breaker counts. `error` is what the caller sees."""

    def __init__(self, error: JobError) -> None:
        super().__init__(str(error))
        self.error = error


class NotSent(TransientError):
    """No connection was free: nothing was asked."""


def authentication(token: str) -> dict[str, str]:
    """The header that carries the service account's credential."""
    if not token:
        return {}
    return {"x-api-key": token} if token.startswith("camp_sk_") else {"Authorization": f"Bearer {token}"}


class PooledTransport(Transport):
    """Sends one request at a time per thread over at most CONNECTIONS connections."""

    def __init__(self, url: str, token: str, *, timeout: timedelta) -> None:
        self._url = url
        self._timeout = timeout
        headers = {"Content-Type": "application/json", "Accept": "application/json", **authentication(token)}
        # "Expect:" empty, for libcurl would wait for the server's leave before a large body.
        self._headers = ["Expect:", *(f"{name}: {value}" for name, value in headers.items())]
        self._idle: deque[pycurl.Curl] = deque()
        self._open = threading.BoundedSemaphore(CONNECTIONS)

    def execute(self, request: GraphQLRequest, **kwargs: Any) -> ExecutionResult:
        """Send a gql request; for gql's own Client. Raises as `send` does."""
        answer = self.send(request.payload, mutation=False, headers=kwargs.get("headers", {}))
        return ExecutionResult(data=answer.get("data"), errors=answer.get("errors"), extensions=None)

    def send(
        self, payload: Mapping[str, Any], *, mutation: bool, headers: Mapping[str, str], once: bool = False
    ) -> dict[str, Any]:
        """POST a GraphQL payload; the answer as JSON.

        `once` is for what must never be sent twice: it goes over a new connection, for libcurl sends a request again
        by itself when a kept-alive connection turns out to be closed. Raises Fault (around TransientError or, for a
        mutation that was sent, OutcomeUnknown) for transport faults and 5xx, TransientError for 429, NotAuthorized
        for 401 and 403.
        """
        if not self._open.acquire(timeout=self._timeout.total_seconds()):
            waited = self._timeout.total_seconds()
            raise NotSent(f"main API: all {CONNECTIONS} connections are busy for {waited:g} s")
        try:
            return self._send(payload, OutcomeUnknown if mutation else TransientError, headers, once=once)
        finally:
            self._open.release()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _send(
        self, payload: Mapping[str, Any], unknown: type[TransientError], headers: Mapping[str, str], *, once: bool
    ) -> dict[str, Any]:
        curl = self._idle.pop() if self._idle else self._connection()
        body = BytesIO()
        curl.setopt(pycurl.WRITEDATA, body)
        curl.setopt(pycurl.POSTFIELDS, json.dumps(payload, separators=(",", ":")).encode())
        curl.setopt(pycurl.HTTPHEADER, [*self._headers, *(f"{name}: {value}" for name, value in headers.items())])
        curl.setopt(pycurl.FRESH_CONNECT, int(once))
        try:
            curl.perform()
        except pycurl.error as error:
            code, message = (*error.args, "")[:2]
            sent = curl.getinfo(pycurl.REQUEST_SIZE) > 0
            curl.close()
            kind = unknown if sent else TransientError
            raise Fault(kind(f"main API: {message or 'transport fault'} (curl {code})")) from error
        status, retry_after = curl.getinfo(pycurl.RESPONSE_CODE), curl.getinfo(pycurl.RETRY_AFTER)
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(curl)
        else:
            curl.close()
        wait = timedelta(seconds=min(retry_after, LONGEST_RETRY_AFTER)) if retry_after else None
        return _answer(status, body.getvalue(), wait, unknown)

    def _connection(self) -> pycurl.Curl:
        curl = pycurl.Curl()
        milliseconds = max(1, int(self._timeout / timedelta(milliseconds=1)))
        for option, value in (
            (pycurl.URL, self._url),
            (pycurl.POST, 1),
            (pycurl.NOSIGNAL, 1),  # signals do not go with threads
            (pycurl.TIMEOUT_MS, milliseconds),  # of all of it: an answer that trickles is no answer
            (pycurl.CONNECTTIMEOUT_MS, milliseconds),
            (pycurl.MAXFILESIZE_LARGE, LARGEST_ANSWER),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROXY, ""),  # whatever the environment's proxy variables say
            (pycurl.CAINFO, certifi.where()),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        ):
            curl.setopt(option, value)
        return curl


def _answer(status: int, body: bytes, retry_after: timedelta | None, unknown: type[TransientError]) -> dict[str, Any]:
    if status in (401, 403):
        raise NotAuthorized(f"main API: HTTP {status}: it refuses API_SERVICE_ACCOUNT_TOKEN")
    if status == 429:
        raise TransientError("main API: HTTP 429: too many requests", retry_after=retry_after)
    if status == 503:
        raise Fault(TransientError(f"main API: HTTP {status}", retry_after=retry_after))
    if status >= 500:
        raise Fault(unknown(f"main API: HTTP {status}", retry_after=retry_after))
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not ("data" in answer or "errors" in answer):
        raise Fault(unknown(f"main API: HTTP {status} with a body that is no GraphQL answer: {body[:80]!r}"))
    return answer
