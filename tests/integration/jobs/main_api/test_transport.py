"""What servers and proxies send in place of a proper HTTP response."""

import gzip
import json
import zlib
from datetime import timedelta
from typing import Any

import pytest

from jobs.errors import JobError, NotAuthorized, OutcomeUnknown, TooLarge, TooManyRequests, TransientError
from jobs.main_api.answers import Fault, Request
from jobs.main_api.transport import PooledTransport
from tests.support.main_api import open_gate
from tests.support.receivers import raw_server

BODY = json.dumps({"data": {"executeEffect": {"success": True}}}).encode()
LARGE = b" " * (9 * 1024 * 1024)


def http(status: int = 200, body: bytes = BODY, *headers: str, length: object = None) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(BODY), BODY)
UNDERSTOOD = {
    "plain": http(),
    "HTTP/1.0 without a length": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "chunked with a trailer": CHUNKED + b"0\r\nX-Sum: 1\r\n\r\n",
    "gzip": http(200, gzip.compress(BODY), "Content-Encoding: gzip"),
    "deflate": http(200, zlib.compress(BODY), "Content-Encoding: deflate"),
    "deflate without its header": http(200, zlib.compress(BODY)[2:-4], "Content-Encoding: deflate"),
    "byte order mark": http(200, b"\xef\xbb\xbf" + BODY),
    "early hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(),
}
UNCLEAR = {
    "nothing": b"",
    "no HTTP": BODY,
    "half a status line": b"HTTP/1.1 2",
    "HTTP/2": http().replace(b"HTTP/1.1", b"HTTP/2"),
    "switching protocols": b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n",
    "redirect": http(307, b"", "Location: /other"),
    "too short a length": http(length=10),
    "too long a length": http(length=9_999),
    "a length that is none": http(length=-1),
    "chunks without an end": CHUNKED,
    "an unknown encoding": http(200, BODY, "Content-Encoding: foo"),
    "gzip that is none": http(200, BODY, "Content-Encoding: gzip"),
    "half of gzip": http(200, gzip.compress(BODY)[:-12], "Content-Encoding: gzip"),
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"a" * 1000) * 400,
    "UTF-16": http(200, BODY.decode().encode("utf-16")),
    "9 MB": http(200, LARGE),
    "a gzip bomb": http(200, gzip.compress(LARGE * 4, compresslevel=1), "Content-Encoding: gzip"),
    "503 of 9 MB": http(503, LARGE),
}
CLEAR: dict[str, tuple[bytes, type[JobError]]] = {
    f"{status} {how}": (sent, error)
    for status, error in ((401, NotAuthorized), (403, NotAuthorized), (413, TooLarge), (429, TooManyRequests))
    for how, sent in (
        ("of 9 MB", http(status, LARGE, "Retry-After: 7")),
        ("cut off", http(status, b"x", "Retry-After: 7", length=99)),
        ("in an unknown encoding", http(status, b"x", "Retry-After: 7", "Content-Encoding: foo")),
    )
}


def error_of(sent: bytes, request: Request) -> JobError | None:
    """The error of a request that is answered so; None if the answer is read. It is sent once."""
    with raw_server(sent) as (url, heard):
        transport = PooledTransport(url, "t", open_gate(), timeout=timedelta(seconds=10))
        found: JobError | None = None
        try:
            transport.send({"query": "{x}"}, request=request)
        except Fault as fault:
            found = fault.error
        except JobError as error:
            found = error
        transport.close()
    assert len(heard) == 1
    return found


@pytest.mark.parametrize("sent", UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_every_form_of_a_response_is_read(sent: bytes) -> None:
    """As far as HTTP allows it, requested or not."""
    assert error_of(sent, Request.ONCE) is None


@pytest.mark.parametrize("sent", UNCLEAR.values(), ids=UNCLEAR)
def test_a_broken_response_leaves_the_outcome_open(sent: bytes) -> None:
    """A mutation that must not repeat has an unknown outcome; a query works later, or in smaller parts."""
    unknown = error_of(sent, Request.ONCE)

    assert isinstance(unknown, OutcomeUnknown)
    assert not unknown.may_resend
    assert isinstance(error_of(sent, Request.QUERY), TransientError if not sent[9:].startswith(b"200") else JobError)


def test_an_answer_may_be_as_large_as_an_operator_allows(settings: Any) -> None:
    """The list of all campaigns has no pages: what is beyond the limit names the variable that raises it."""
    large = http(200, BODY + LARGE)
    refused = error_of(large, Request.QUERY)
    settings.API_LARGEST_ANSWER_MB = 10

    assert str(refused) == "main API: the answer is larger than 8 MB (API_LARGEST_ANSWER_MB)"
    assert error_of(large, Request.QUERY) is None


@pytest.mark.parametrize(("sent", "expected"), CLEAR.values(), ids=CLEAR)
def test_a_clear_status_needs_no_body(sent: bytes, expected: type[JobError]) -> None:
    """429 with half a page is 429: nothing was done, and Retry-After counts."""
    for request in (Request.ONCE, Request.QUERY):
        error = error_of(sent, request)
        assert type(error) is expected
        assert getattr(error, "retry_after", timedelta(seconds=7)) == timedelta(seconds=7)
