"""Make django-rq connect as we do: on its own it knows no Sentinel URLs and keeps using a replaced master.

It also opens a connection for each queue that it is asked for, and one of its pages asks for each queue several times.
"""

from functools import cache
from typing import Any

from django_rq import connection_utils, cron, queues, utils
from redis import Redis

from scheduler_project.redis_connection import connect


def install() -> None:
    """Patch django-rq in this process and its forks; it has no setting for this."""
    for module in (connection_utils, cron, queues, utils):
        setattr(module, "get_redis_connection", _connect)  # noqa: B010 - mypy knows no such attribute of a module


def _connect(config: dict[str, Any], use_strict_redis: bool = False) -> Redis:
    return _shared(config["URL"])


@cache
def _shared(url: str) -> Redis:
    """The connection pool of this process (thread-safe), and of each of its forks."""
    return connect(url)
