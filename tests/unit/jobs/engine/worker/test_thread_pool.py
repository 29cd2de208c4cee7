"""Slots for handlers; a hung handler takes none for good."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine.worker.thread_pool import Threads
from tests.support.servers import wait_until

ENDS: dict[str, threading.Event] = {}
BEGUN: set[str] = set()


@pytest.fixture(autouse=True)
def _let_all_end() -> Iterator[None]:
    """Whatever a test has left hanging."""
    yield
    for end in ENDS.values():
        end.set()
    ENDS.clear()
    BEGUN.clear()


def serve(task: list[str]) -> Iterator[str]:
    """A name with an end waits for it; the others are answered at once."""
    for name in task:
        BEGUN.add(name)
        if name in ENDS:
            ENDS[name].wait()
        yield name


def has_answered(threads: Threads[list[str], str], name: str) -> bool:
    """Whether this is what has been answered since it was last asked."""
    return threads.answers() == [name]


def test_a_hung_thread_takes_no_slot() -> None:
    """With one slot: however many tasks follow the abandoned one, all run."""
    ENDS["hangs"] = threading.Event()
    threads = Threads(serve, lambda: None)
    threads.start(1)
    hanging = ["hangs", "never begun"]
    threads.submit(hanging)
    wait_until(lambda: "hangs" in BEGUN)

    threads.give_up(hanging)
    threads.give_up(hanging)  # once more: an end that could not be recorded is found again
    for name in ("first", "second", "third"):
        threads.submit([name])
        wait_until(partial(has_answered, threads, name))
    ENDS["hangs"].set()
    wait_until(lambda: threads.answers() == ["hangs"])
    threads.submit(["fourth"])

    wait_until(lambda: threads.answers() == ["fourth"], what="only that: nothing more of what was given up")
    threads.stop()


@given(ranks=st.lists(st.integers(0, 3), max_size=12))
def test_the_most_urgent_waiting_task_is_next(ranks: list[int]) -> None:
    """Among equals, in the order in which they were submitted."""
    ENDS["first"] = threading.Event()
    threads = Threads(serve, lambda: None)
    threads.start(1)
    threads.submit(["first"])
    names = [f"{rank} {number:02}" for number, rank in enumerate(ranks)]
    for rank, name in zip(ranks, names, strict=True):
        threads.submit([name], rank)
    ENDS["first"].set()

    wait_until(lambda: not threads.unfinished)
    assert threads.answers()[1:] == sorted(names)
    threads.stop()


def test_an_error_after_a_task_takes_no_slot() -> None:
    """As one of a database connection that cannot be closed, in a thread that cycles."""
    threads = Threads(serve, partial(next, iter(())))
    threads.start(1)
    for name in ("first", "second"):
        threads.submit([name])
        wait_until(partial(has_answered, threads, name))
    threads.stop()


def test_a_task_given_up_before_it_began_is_not_run() -> None:
    """Its thread ends, and the replacement runs the next task."""
    ENDS["hangs"] = threading.Event()
    threads = Threads(serve, lambda: None)
    threads.start(1)
    hanging, waiting = ["hangs"], ["waiting"]
    threads.submit(hanging)
    threads.submit(waiting)
    wait_until(lambda: "hangs" in BEGUN)

    threads.give_up(waiting)
    threads.give_up(hanging)
    threads.submit(["next"])

    wait_until(lambda: threads.answers() == ["next"])
    threads.stop()


def test_giving_up_a_finished_task_changes_nothing() -> None:
    """No thread is started for one that has ended."""
    over = threading.Event()
    threads = Threads(serve, over.set)
    threads.start(1)
    done = ["done"]
    threads.submit(done)
    assert over.wait(20)
    before = set(threading.enumerate())

    threads.give_up(done)

    assert set(threading.enumerate()) <= before
    threads.stop()
