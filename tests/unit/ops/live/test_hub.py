"""What streams are told, and what it costs."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redis import ConnectionError as RedisGone

from ops.live import stream
from ops.live.hub import UNREADABLE, Hub, Names, Topic
from tests.support.servers import wait_until

TICK_S = 0.01
PATIENCE_S = 10.0


class Source:
    """A topic whose values a test sets; counts how often it is read, and by which names."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"": 1}
        self.reads: list[Names] = []
        self.fault: Exception | None = None

    def read(self, names: Names) -> dict[str, Any]:
        """The values, or the fault."""
        self.reads.append(names)
        if self.fault:
            raise self.fault
        return self.values


@pytest.fixture
def source() -> Source:
    return Source()


def count_threads() -> int:
    """Those that read topics."""
    return sum(thread.name == "live" for thread in threading.enumerate())


@pytest.fixture
def hub(source: Source) -> Iterator[Hub]:
    """A hub with the topics "moves" and "job:…"; its thread has ended when the test has."""
    made = Hub(every_s=TICK_S)
    made.add("moves", Topic(read=source.read, is_allowed=bool))
    made.add("job", Topic(read=source.read, is_allowed=bool, is_name=str.isdigit))
    yield made
    wait_until(lambda: not count_threads(), what="the thread has ended")


def test_a_stream_is_told_all_versions_at_first_and_then_what_changes(hub: Hub, source: Source) -> None:
    """Equal values have equal versions, in any process."""
    with hub.watch(["moves", "job:7"]) as watch:
        source.values = {"": 1, "7": "QUEUED"}
        first: dict[str, str] = {}
        wait_until(lambda: set(first.update(watch.wait(PATIENCE_S)) or first) == {"moves", "job:7"})
        source.values = {"": 1, "7": "RUNNING"}
        second = watch.wait(PATIENCE_S)
        source.values = {"": 1, "7": "QUEUED"}
        third = watch.wait(PATIENCE_S)

    assert set(second) == {"job:7"}
    assert third == {"job:7": first["job:7"]} or first["job:7"] != second["job:7"]


def test_viewers_share_one_read(hub: Hub, source: Source) -> None:
    """A hundred viewers of a topic cost what one does; nobody, nothing."""
    watches = [hub.watch(["moves"]) for _ in range(100)]
    for each in watches:
        each.__enter__()
    threads = count_threads()
    wait_until(lambda: len(source.reads) >= 3)
    for each in watches:
        each.__exit__(None, None, None)
    wait_until(lambda: not count_threads(), what="the thread has ended")
    reads = len(source.reads)

    assert threads == 1
    assert set(source.reads) == {frozenset({""})}
    assert len(source.reads) == reads


def test_a_source_that_does_not_answer_is_a_change(hub: Hub, source: Source) -> None:
    """The page shows the fault, and shows when it is over."""
    with hub.watch(["moves"]) as watch:
        (known,) = watch.wait(PATIENCE_S).values()
        source.fault = RedisGone("away")
        gone = watch.wait(PATIENCE_S)
        source.fault = None
        back = watch.wait(PATIENCE_S)

    assert gone == {"moves": UNREADABLE}
    assert back == {"moves": known}


@pytest.mark.parametrize(
    ("topic", "user", "expected"),
    [
        ("moves", True, True),
        ("moves", False, False),  # who may not
        ("moves:7", True, False),  # has no names
        ("job:7", True, True),
        ("job:x", True, False),
        ("job", True, False),
        ("other", True, False),
        ("", True, False),
    ],
)
def test_only_known_topics_are_followed(hub: Hub, topic: str, user: bool, expected: bool) -> None:
    assert (topic in hub.allowed([topic], user)) is expected


@pytest.mark.parametrize("end", ["the page is gone", "the process stops", "its time is over"])
def test_a_stream_ends(hub: Hub, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Soon, and without another event; nobody watches then."""
    monkeypatch.setattr(stream, "LOOK_S", TICK_S)
    is_open = True
    events = stream.events(hub, ["moves"], is_open=lambda: is_open)
    begun, told = next(events), next(events)
    if end == "the page is gone":
        is_open = False
    elif end == "the process stops":
        hub.is_stopping = lambda: True
    else:
        monkeypatch.setattr(stream, "LONGEST_S", 0.0)

    assert list(events) == []
    assert begun == stream.RETRY
    assert set(json.loads(told.removeprefix(b"data: "))) == {"moves"}


def test_a_quiet_stream_is_kept_alive(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an empty event, so that neither a proxy nor the page takes it for dead."""
    monkeypatch.setattr(stream, "LOOK_S", TICK_S)
    monkeypatch.setattr(stream, "QUIET_S", TICK_S)
    events = stream.events(hub, ["moves"], is_open=lambda: True)
    next(events), next(events)

    assert next(events) == b"data: {}\n\n"
    events.close()
