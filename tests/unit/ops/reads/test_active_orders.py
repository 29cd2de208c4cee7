"""The view of Redis that every page needs."""

import threading
from queue import Queue

from redis import RedisError

from ops.reads.active_orders import Cache, InRedis

OLD, NEW = InRedis(suspended=False), InRedis(suspended=True)


def test_a_slow_read_does_not_hide_a_later_change() -> None:
    """It began before somebody suspended the workers, and ends after a page has shown that."""
    reads: Queue[InRedis] = Queue()
    begun, go_on = threading.Event(), threading.Event()

    def read() -> InRedis:
        found = reads.get_nowait()
        if found == OLD:
            begun.set()
            assert go_on.wait(10)
        return found

    cache = Cache(read)
    reads.put(OLD)
    slow = threading.Thread(target=cache.find)
    slow.start()
    assert begun.wait(10)
    cache.expire()
    reads.put(NEW)
    shown = cache.find()
    go_on.set()
    slow.join(10)

    assert shown == NEW
    assert cache.find() == NEW


def test_a_page_does_not_wait_for_the_read_of_another() -> None:
    """It shows the last view; Redis may take seconds to fail."""
    begun, go_on = threading.Event(), threading.Event()

    def read() -> InRedis:
        begun.set()
        assert go_on.wait(10)
        raise RedisError("timed out")

    cache = Cache(read)
    slow = threading.Thread(target=cache.find)
    slow.start()
    assert begun.wait(10)
    shown = cache.find()
    go_on.set()
    slow.join(10)

    assert shown == cache.find() == InRedis()
