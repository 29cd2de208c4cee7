"""Keeps what goes wrong with one alert from all others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, transaction

log = structlog.get_logger(__name__)


@contextmanager
def isolate(event: str, **values: Any) -> Iterator[None]:
    """Run the block in a savepoint, and log what it raises as `event`. Raises django.db's errors of an outage."""
    try:
        with transaction.atomic():
            yield
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # whatever an odd row leads to: the caller goes on with the next one
        log.exception(event, **values)
