"""One thread finds out what a process does not know of the main API; the others wait for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

BELIEVED_S: Final = 3600.0  #: how long a finding counts
DOUBTED_S: Final = 60.0  #: the same for one from an unclear answer
WAIT_S: Final = 15.0  #: then a thread no longer waits for another


class Learning:
    def __init__(self, is_known: Callable[[], bool]) -> None:
        self._is_known = is_known
        self._lock = threading.Lock()
        self._ongoing: threading.Event | None = None

    @contextmanager
    def by_one_thread(self) -> Iterator[None]:
        """Wait until it is known or another thread has failed to find out; the body finds out if it is still unknown.

        If the first thread fails, those that waited do not wait for each other too.
        """
        mine = None
        with self._lock:
            ongoing = None if self._is_known() else self._ongoing
            if ongoing is None and not self._is_known():
                mine = self._ongoing = threading.Event()
        if ongoing:
            ongoing.wait(WAIT_S)
        try:
            yield
        finally:
            if mine:
                with self._lock:
                    self._ongoing = None
                mine.set()
