"""Learns whether the main API can serve the names of its objects; where it cannot, IDs are shown in their place."""

import re
import time
from typing import Final

import structlog

from jobs.main_api.answers import Answer
from jobs.main_api.errors import ERROR_OF_CODE

log = structlog.get_logger(__name__)
BELIEVED_S: Final = 3600.0  #: how long names are not asked for once an error about them is gone without them
DOUBTED_S: Final = 60.0  #: the same for an error that may have been about something else
_ABOUT_TIMES: Final = re.compile(r"\bdate", re.IGNORECASE)  # names that are declared as times


class Names:
    """What one process knows; threads that find out at the same time each ask once more."""

    def __init__(self) -> None:
        self._unreadable_until = 0.0

    def are_readable(self) -> bool:
        """Whether to ask for names."""
        return time.monotonic() >= self._unreadable_until

    def note(self, named: Answer, without: Answer) -> None:
        """Learn from a response that may have failed for its names, and from that to the same request without them."""
        about_names = _is_about_names(named) and not has_failed(without)
        believed_s = BELIEVED_S if about_names else DOUBTED_S
        self._unreadable_until = time.monotonic() + believed_s
        if not has_failed(without):
            log.warning("main_api.names_unreadable", error=named.errors[0].message, ids_shown_for_s=believed_s)


def has_failed(answer: Answer) -> bool:
    """Whether a response with errors has no data at all."""
    return bool(answer.errors) and not any(value is not None for value in answer.data.values())


def may_be_about_names(answer: Answer) -> bool:
    """Whether a request without names may succeed where this one has failed."""
    unclear = any(error.code not in ERROR_OF_CODE for error in answer.errors)
    return _is_about_names(answer) or (has_failed(answer) and unclear)


def _is_about_names(answer: Answer) -> bool:
    return any(e.path[-1:] == ("name",) or (not e.path and _ABOUT_TIMES.search(e.message)) for e in answer.errors)
