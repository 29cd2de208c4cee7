"""Learns whether the main API can serve the names of its objects; where it cannot, IDs are shown in their place."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from jobs.main_api import operations
from jobs.main_api.answers import Answer
from jobs.main_api.learning import BELIEVED_S, DOUBTED_S, Learning

log = structlog.get_logger(__name__)
_ABOUT_NAMES: Final = re.compile(r'\bdate|field "name"', re.IGNORECASE)  # names that are declared as times, or missing


class Names:
    """What one process knows: nothing at first, and again an hour after names could not be read."""

    def __init__(self, ask: Callable[[str, str, Mapping[str, Any]], Answer]) -> None:
        self._ask = ask
        self._readable = False
        self._unreadable_until = 0.0
        self._learning = Learning(self._is_known)

    def query(self, name: str, variables: Mapping[str, Any], *, size: int = 1) -> Answer:
        """Send a query; without names, where those are why it fails.

        While that is unknown, one thread finds out and the others wait for what it learns.
        """
        if not operations.asks_for_names(name):
            return self._ask(name, operations.text(name, size), variables)
        with self._learning.by_one_thread():
            if time.monotonic() < self._unreadable_until:
                return self._ask(name, operations.text(name, size, named=False), variables)
            answer = self._ask(name, operations.text(name, size), variables)
            if not may_be_about_names(answer):
                self._readable = self._readable or not has_failed(answer)
                return answer
            without = self._ask(name, operations.text(name, size, named=False), variables)
            self._note(answer, without)
            return without

    def _note(self, named: Answer, without: Answer) -> None:
        """Learn from a response that may have failed for its names, and from that to the same request without them."""
        about_names = _is_about_names(named) and not has_failed(without)
        believed_s = BELIEVED_S if about_names else DOUBTED_S
        self._readable = False
        self._unreadable_until = time.monotonic() + believed_s
        if not has_failed(without):
            log.warning("main_api.names_unreadable", error=named.errors[0].message, ids_shown_for_s=believed_s)

    def _is_known(self) -> bool:
        return self._readable or time.monotonic() < self._unreadable_until


def has_failed(answer: Answer) -> bool:
    """Whether a response with errors has no data at all."""
    return bool(answer.errors) and not any(value is not None for value in answer.data.values())


def may_be_about_names(answer: Answer) -> bool:
    """Whether a request without names may succeed where this one has failed."""
    unclear = any(error.kind is None for error in answer.errors)
    return _is_about_names(answer) or (has_failed(answer) and unclear)


def _is_about_names(answer: Answer) -> bool:
    return any(e.path[-1:] == ("name",) or (not e.path and _ABOUT_NAMES.search(e.message)) for e in answer.errors)
