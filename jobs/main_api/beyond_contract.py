"""Queries that today's main API serves beyond its contract. Whether this one does is learnt from the first answer.

They are requests of their own, so that nothing else fails where they are missing.
"""

import re
import time
from collections.abc import Callable
from typing import Final

import structlog

from jobs.errors import NotServed, PermanentError
from jobs.main_api.answers import Answer
from jobs.main_api.learning import BELIEVED_S
from jobs.main_api.names import has_failed

log = structlog.get_logger(__name__)
_VALIDATION: Final = "GRAPHQL_VALIDATION_FAILED"


class BeyondContract:
    """What one process knows: nothing at first, and again an hour after a query was refused."""

    def __init__(self) -> None:
        self._unserved_until: dict[str, float] = {}

    def query(self, name: str, send: Callable[[], Answer]) -> Answer:
        """Send a query. Raises NotServed if the schema does not have it, for an hour without asking."""
        if time.monotonic() < self._unserved_until.get(name, 0.0):
            raise NotServed(name)
        answer = send()
        if is_missing(name, answer):
            self._unserved_until[name] = time.monotonic() + BELIEVED_S
            log.info("main_api.query_unserved", operation=name, for_s=BELIEVED_S)
            raise NotServed(name)
        return answer


def is_missing(name: str, answer: Answer) -> bool:
    """Whether a response says, as a whole, that the schema has no such query.

    That it has one with other arguments is a fault to be told: what is done without the query might be wrong there.
    """
    if not has_failed(answer):
        return False
    says = re.compile(rf"cannot query field .{re.escape(name)}\b", re.IGNORECASE)
    return any(
        not error.path
        and bool(says.search(error.message))
        and (error.kind is PermanentError or error.code == _VALIDATION)
        for error in answer.errors
    )
