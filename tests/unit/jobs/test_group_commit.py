"""Each caller gets what it would have got alone, whoever writes for it and whatever becomes of that thread."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import group_commit
from jobs.group_commit import GroupCommit
from tests.support.servers import wait_until

BAD: Final = -1


class Store:
    """Writes numbers, all or none; the negative are refused. It stands still while `is_open` is not set."""

    def __init__(self) -> None:
        self.transactions: list[list[int]] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.entered = threading.Semaphore(0)

    def write(self, items: Sequence[int]) -> list[str]:
        self.entered.release()
        assert self.is_open.wait(60)
        if refused := [item for item in items if item < 0]:
            raise ValueError(f"refused {refused[0]}")
        self.transactions.append(list(items))
        return [f"wrote {item}" for item in items]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(10) as threads:
        yield threads


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason to write alone."""
    monkeypatch.setattr(group_commit, "WAIT_FOR_LEADER_S", 60.0)


def add_behind(
    group: GroupCommit[int, str], store: Store, threads: ThreadPoolExecutor, items: Sequence[int]
) -> tuple[Future[str], list[Future[str]]]:
    """The first item is being written, and the others wait."""
    store.is_open.clear()
    first = threads.submit(group.add, items[0])
    assert store.entered.acquire(timeout=60)
    rest = [threads.submit(group.add, item) for item in items[1:]]
    wait_until(lambda: group.waiting == len(rest), what="the others wait")
    return first, rest


def result_of(call: Callable[[], str]) -> str:
    """The answer, or the error as text."""
    try:
        return call()
    except ValueError as error:
        return str(error)


@pytest.mark.usefixtures("patient")
def test_who_waits_is_written_together(store: Store, threads: ThreadPoolExecutor) -> None:
    group = GroupCommit(store.write)
    first, rest = add_behind(group, store, threads, range(8))
    store.is_open.set()

    assert [f.result(60) for f in (first, *rest)] == [f"wrote {n}" for n in range(8)]
    assert [sorted(items) for items in store.transactions] == [[0], list(range(1, 8))]


@pytest.mark.usefixtures("patient")
def test_no_transaction_has_more_than_the_most(
    store: Store, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_ITEMS", 3)
    group = GroupCommit(store.write)
    first, rest = add_behind(group, store, threads, range(9))
    store.is_open.set()

    assert [f.result(60) for f in (first, *rest)] == [f"wrote {n}" for n in range(9)]
    assert max(map(len, store.transactions)) <= 3


@pytest.mark.usefixtures("patient")
def test_a_bad_one_fails_no_other(store: Store, threads: ThreadPoolExecutor) -> None:
    group = GroupCommit(store.write)
    first, rest = add_behind(group, store, threads, [0, 1, BAD, 3])
    store.is_open.set()

    assert [result_of(f.result) for f in (first, *rest)] == ["wrote 0", "wrote 1", "refused -1", "wrote 3"]
    assert sorted(store.transactions) == [[0], [1], [3]]


@given(st.lists(st.lists(st.integers(BAD, 5), max_size=4), min_size=1, max_size=8))
def test_each_caller_gets_what_it_would_have_got_alone(of_threads: list[list[int]]) -> None:
    """Whatever the others add at the same time; what is written is what was answered."""
    store = Store()
    group = GroupCommit(store.write)
    start = threading.Barrier(len(of_threads))

    def add(items: list[int]) -> list[str]:
        start.wait(60)
        return [result_of(partial(group.add, item)) for item in items]

    with ThreadPoolExecutor(len(of_threads)) as threads:
        found = list(threads.map(add, of_threads))

    assert found == [["refused -1" if n < 0 else f"wrote {n}" for n in items] for items in of_threads]
    written = sorted(n for items in store.transactions for n in items)
    assert written == sorted(n for items in of_threads for n in items if n >= 0)


@pytest.mark.usefixtures("patient")
def test_who_led_may_be_interrupted(store: Store, threads: ThreadPoolExecutor) -> None:
    """Its own caller sees it; the others are written, and so is who comes later."""
    interrupted: list[Sequence[int]] = []

    def write(items: Sequence[int]) -> list[str]:
        if len(items) > 1 and not interrupted:
            interrupted.append(items)
            raise KeyboardInterrupt
        return store.write(items)

    group = GroupCommit(write)
    first, rest = add_behind(group, store, threads, range(4))
    store.is_open.set()

    assert first.result(60) == "wrote 0"
    ends = [f.exception(60) for f in rest]
    assert [type(end) for end in ends if end] == [KeyboardInterrupt]
    assert len(ends) == 3
    assert group.add(9) == "wrote 9"


def test_nobody_waits_long_for_one_that_stands_still(
    store: Store, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wait for a lock that is no matter of the others: they write alone."""
    monkeypatch.setattr(group_commit, "WAIT_FOR_LEADER_S", 0.01)
    held, entered = threading.Event(), threading.Event()

    def write(items: Sequence[int]) -> list[str]:
        if 0 in items:
            entered.set()
            assert held.wait(60)
        return store.write(items)

    group = GroupCommit(write)
    first = threads.submit(group.add, 0)
    assert entered.wait(60)
    rest = [threads.submit(group.add, n) for n in range(1, 5)]

    assert [f.result(60) for f in rest] == [f"wrote {n}" for n in range(1, 5)]
    assert not first.done()
    held.set()
    assert first.result(60) == "wrote 0"
    assert group.waiting == 0


def test_who_was_taken_by_one_that_never_answers_is_written(
    store: Store, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAIT_FOR_LEADER_S", 3.0)  # long enough to be taken
    monkeypatch.setattr(group_commit, "LOST_AFTER_S", 0.01)
    never = threading.Event()

    def write(items: Sequence[int]) -> list[str]:
        if len(items) > 1:
            assert never.wait(60)
        return store.write(items)

    group = GroupCommit(write)
    first, rest = add_behind(group, store, threads, range(3))
    store.is_open.set()

    assert first.result(60) == "wrote 0"
    wait_until(lambda: any(f.done() for f in rest), what="who was taken is written")
    never.set()
    assert [f.result(60) for f in rest] == ["wrote 1", "wrote 2"]


@pytest.mark.usefixtures("patient")
def test_a_forked_child_writes_although_another_thread_led(store: Store, threads: ThreadPoolExecutor) -> None:
    group = GroupCommit(store.write)
    first, rest = add_behind(group, store, threads, range(3))

    def write_in_child() -> None:
        store.is_open = threading.Event()
        store.is_open.set()
        assert group.add(9) == "wrote 9"

    child = multiprocessing.get_context("fork").Process(target=write_in_child)
    child.start()
    child.join(60)
    store.is_open.set()

    assert child.exitcode == 0
    assert [f.result(60) for f in (first, *rest)] == ["wrote 0", "wrote 1", "wrote 2"]
