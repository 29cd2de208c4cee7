"""Transactions that tell Redis something before they are committed: if they are not, it is taken back.

Redis first, so that what it refuses is not recorded; and a commit that fails must not leave it told without a record.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import structlog
from django.db import transaction
from redis import RedisError

log = structlog.get_logger(__name__)
Undo = Callable[[], object]
_undos: Final[ContextVar[list[Undo] | None]] = ContextVar("undos", default=None)  # of the outermost transaction


@contextmanager
def transaction_with_redis() -> Iterator[Callable[[Undo], None]]:
    """A transaction; what is given to the function that it yields is called if it is not committed.

    In another one, that one's commit counts.
    """
    outer = _undos.get()
    undos: list[Undo] = [] if outer is None else outer
    token = _undos.set(undos)
    try:
        with transaction.atomic():
            yield undos.append
    except BaseException:
        if outer is None:
            _undo(undos)
        raise
    finally:
        _undos.reset(token)


def _undo(undos: list[Undo]) -> None:
    for undo in reversed(undos):
        try:
            undo()
        except RedisError as error:
            log.error("compensation.failed", error=str(error), next="what an operator asked for counts unrecorded")
