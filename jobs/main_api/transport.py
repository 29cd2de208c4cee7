"""HTTP to the main API over one pool of kept-alive connections, without retries of its own.

On libcurl, which needs a third of the CPU time that urllib3 does and holds the whole exchange to one time limit.
"""

import threading
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import certifi
import pycurl

from jobs.errors import JobError, TooLarge, TransientError
from jobs.main_api import wire
from jobs.main_api.answers import Answer, Fault, Reply, Request, read_reply

CONNECTIONS: Final = 10  # open at the same time
IDLE_CONNECTIONS: Final = 5  # kept for the next request
LARGEST_ANSWER: Final = 8 * 1024 * 1024  # bytes, decoded
LONGEST_RETRY_AFTER: Final = 3600  # seconds


class NotSent(TransientError):
    """No connection was free: nothing was asked."""


def authentication(token: str) -> dict[str, str]:
    """The header that carries the service account's credential."""
    if not token:
        return {}
    return {"x-api-key": token} if token.startswith("camp_sk_") else {"Authorization": f"Bearer {token}"}


class PooledTransport:
    """Sends one request at a time per thread over at most CONNECTIONS connections."""

    def __init__(self, url: str, token: str, *, timeout: timedelta) -> None:
        self._url = url
        self._timeout = timeout
        headers = {"Content-Type": "application/json", "Accept": "application/json", **authentication(token)}
        # "Expect:" empty, for libcurl would wait for the server's leave before a large body.
        self._headers = ["Expect:", "Accept-Encoding:", *(f"{name}: {value}" for name, value in headers.items())]
        self._idle: deque[pycurl.Curl] = deque()
        self._open = threading.BoundedSemaphore(CONNECTIONS)

    def send(
        self, payload: Mapping[str, Any], *, request: Request = Request.QUERY, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """POST a GraphQL payload; the answer.

        What must not be sent twice goes over a new connection, for libcurl sends a request again by itself when a
        kept-alive connection turns out to be closed. Raises NotSent, Fault for transport faults, and what
        `answers.read_reply` does.
        """
        body = wire.encode(payload)
        if not self._open.acquire(timeout=self._timeout.total_seconds()):
            waited = self._timeout.total_seconds()
            raise NotSent(f"main API: all {CONNECTIONS} connections are busy for {waited:g} s")
        try:
            reply = self._post(body, request, headers or {})
        finally:
            self._open.release()
        return read_reply(reply, request)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _post(self, sent: bytes, request: Request, headers: Mapping[str, str]) -> Reply:
        curl = self._idle.pop() if self._idle else self._connection()
        body = _Body()
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
            curl.close()
            if body.is_too_large or code == pycurl.E_FILESIZE_EXCEEDED:
                raise _too_large(request) from error
            text = f"main API: {message or 'transport fault'} (curl {code})"
            raise Fault(request.unclear(text) if has_left else TransientError(text)) from error
        status, retry_after = curl.getinfo(pycurl.RESPONSE_CODE), curl.getinfo(pycurl.RETRY_AFTER)
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(curl)
        else:
            curl.close()
        wait = timedelta(seconds=min(retry_after, LONGEST_RETRY_AFTER)) if retry_after else None
        return Reply(status, b"".join(body.parts), wait)

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
            (pycurl.ACCEPT_ENCODING, ""),  # whatever encoding comes is decoded; `_headers` asks for none
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROXY, ""),  # whatever the environment's proxy variables say
            (pycurl.CAINFO, certifi.where()),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        ):
            curl.setopt(option, value)
        return curl


class _Body:
    """What comes back, as far as it is not too large: libcurl ends the exchange when less is taken than it gave."""

    __slots__ = ("is_too_large", "parts", "size")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.is_too_large = False

    def write(self, part: bytes) -> int:
        self.size += len(part)
        self.is_too_large = self.size > LARGEST_ANSWER
        if self.is_too_large:
            return 0
        self.parts.append(part)
        return len(part)


def _too_large(request: Request) -> JobError:
    """A smaller query may be answered; whether a mutation was carried out, nobody knows."""
    text = f"main API: the answer is larger than {LARGEST_ANSWER // 1024 // 1024} MB"
    return TooLarge(text) if request is Request.QUERY else request.unclear(text)
