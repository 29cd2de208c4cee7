"""Which requests are served, wait or are rejected."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scheduler_project.admission import AT_ONCE, FOR_PROBES, STREAM, STREAMS, THREADS, WAITING, Admission
from tests.support.servers import wait_until


class Slow:
    """An application that answers when its gate is open, and counts who is inside."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.inside = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Wait for the gate."""
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("broken")
        if not environ["PATH_INFO"].startswith("/health"):
            self.inside += 1
            self.gate.wait(20)
        start_response("200 OK", [])
        return [b"done"]


@pytest.fixture
def slow() -> Iterator[Slow]:
    """Opened at the end whatever happens."""
    application = Slow()
    yield application
    application.gate.set()


def ask(admission: Admission, path: str = "/admin/") -> str:
    """The status of the answer, read to its end as a server does."""
    told: list[str] = []
    answer = admission({"PATH_INFO": path}, lambda status, _headers: told.append(status))
    assert b"".join(answer)
    getattr(answer, "close", lambda: None)()
    return told[0]


def test_probes_are_served_while_requests_wait(slow: Slow) -> None:
    """One is served, one waits, a third is rejected, and health answers all the same."""
    admission = Admission(slow, at_once=1, waiting=1)
    with ThreadPoolExecutor(2) as callers:
        served, waiting = callers.submit(ask, admission), callers.submit(ask, admission)
        wait_until(lambda: ask(admission, "/health/live") == "200 OK" and slow.inside == 1)
        wait_until(lambda: ask(admission).startswith("503"), what="there is no more room")

        assert ask(admission, "/healthx").startswith("503")
        assert ask(admission, "/health") == "200 OK"
        assert slow.inside == 1
        slow.gate.set()
        assert (served.result(), waiting.result()) == ("200 OK", "200 OK")
    assert slow.inside == 2


def test_requests_do_not_wait_for_ever(slow: Slow) -> None:
    """One that waited too long is rejected and leaves its place to the next."""
    admission = Admission(slow, at_once=1, waiting=1, queued_s=0.01)
    with ThreadPoolExecutor(1) as callers:
        served = callers.submit(ask, admission)
        wait_until(lambda: slow.inside == 1)

        assert [ask(admission).partition(" ")[0] for _ in range(3)] == ["503", "503", "503"]
        slow.gate.set()
        assert served.result() == "200 OK"


def close(response: Any) -> None:
    """End it as a WSGI server does."""
    response.close()


def test_a_slot_is_released_by_the_response_or_the_error(slow: Slow) -> None:
    """A stream holds its slot until it is closed."""
    slow.gate.set()
    admission = Admission(slow, at_once=1, waiting=0)
    stream = admission({"PATH_INFO": "/export"}, lambda *_: None)

    assert ask(admission).startswith("503")
    close(stream)
    with pytest.raises(RuntimeError, match="broken"):
        ask(admission, "/broken")
    assert ask(admission) == "200 OK"


def test_there_are_threads_for_probes() -> None:
    """Beyond all requests that may be served or wait, and all streams."""
    assert THREADS - (AT_ONCE + WAITING + STREAMS) == FOR_PROBES > 0


def test_streams_take_no_slot_and_are_bounded(slow: Slow) -> None:
    """Two streams leave the one slot to requests; a third is rejected, until one has ended."""
    slow.gate.set()
    admission = Admission(slow, at_once=1, waiting=0, streams=2)
    told: list[str] = []
    streams = [admission({"PATH_INFO": STREAM}, lambda status, _headers: told.append(status)) for _ in range(2)]

    assert told == ["200 OK", "200 OK"]
    assert ask(admission) == "200 OK"
    assert ask(admission, STREAM).startswith("503")
    close(streams[0])
    assert ask(admission, STREAM) == "200 OK"


def test_a_stream_that_fails_gives_its_place_back() -> None:
    def broken(_environ: dict[str, Any], _start_response: Any) -> list[bytes]:
        raise RuntimeError("broken")

    admission = Admission(broken, at_once=1, streams=1)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            ask(admission, STREAM)
