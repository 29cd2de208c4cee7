"""Django's command line: a command that needs Redis or the database says in one line that it is away."""

import logging
import sys
from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import OperationalError, ProgrammingError
from redis import RedisError

from scheduler_project.outages import is_outage
from scheduler_project.redis_connection import connect

#: They wait for Redis and the database, and log why.
PROCESSES: Final = ("rqworker", "rqscheduler", "pubsub_listener", "monitor", "runserver", "up")
#: RQ's own commands: their processes would print tracebacks while Redis is away.
_NEED_REDIS: Final = ("rqworker-pool", "rqcron")
_UNDEFINED_TABLE: Final = "42P01"  #: PostgreSQL's code


class _FirstWarning(logging.Handler):
    """Keeps the first warning of a logger, which names the cause, and prints none."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()


def execute(arguments: Sequence[str]) -> None:
    """Run a command. Exits with code 1 and one line if Redis or the database is away; --traceback shows where."""
    name = next(iter(arguments[1:]), "")
    if name in PROCESSES or "--traceback" in arguments:
        execute_from_command_line(list(arguments))
        return
    pool, first = logging.getLogger("psycopg.pool"), _FirstWarning()
    pool.handlers, pool.propagate = [first], False  # it warns of each try to connect
    try:
        if name in _NEED_REDIS:
            connect(settings.REDIS_URL, socket_connect_timeout=5).ping()
        execute_from_command_line(list(arguments))
    except Exception as error:
        if line := explain(error, first.text):
            sys.exit(line)
        raise


def explain(error: Exception, cause: str = "") -> str:
    """What is away, in one line; empty for any other error. `cause` is what was heard of it before.

    >>> explain(OperationalError("connection refused")), explain(ValueError("a bug"))
    ('The database does not answer: connection refused', '')
    """
    said = next(iter(str(cause or error).splitlines()), type(error).__name__)
    if isinstance(error, OperationalError | ProgrammingError) and _lacks_table(error):
        return f"The database has not been migrated ({error}): run manage.py migrate".replace("\n", " ")
    if not is_outage(error):
        return ""
    return f"{'Redis' if isinstance(error, RedisError) else 'The database'} does not answer: {said}"


def _lacks_table(error: Exception) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == _UNDEFINED_TABLE or str(error).startswith("no such table")
