"""The standard output of commands whose lines other programs read."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Keep standard output for the command's own lines."""
    handlers = [one for one in logging.getLogger().handlers if getattr(one, "stream", None) is sys.stdout]
    moved = [one for one in handlers if isinstance(one, logging.StreamHandler)]
    for handler in moved:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler in moved:
            handler.setStream(sys.stdout)
