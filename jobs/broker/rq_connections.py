"""Make django-rq connect as we do: on its own it knows no Sentinel URLs and keeps using a replaced master.

It also opens a connection for each queue that it is asked for, and one of its pages asks for each queue several times.
"""

from functools import cache
from typing import Any

from django_rq import connection_utils, cron, queues, utils
from redis import Redis
from rq.worker.base import BaseWorker

from scheduler_project.redis_connection import connect


def install() -> None:
    """Patch django-rq in this process and its forks; it has no setting for this."""
    for module in (connection_utils, cron, queues, utils):
        setattr(module, "get_redis_connection", _connect)  # noqa: B010 - mypy knows no such attribute of a module
    setattr(BaseWorker, "find_by_key", classmethod(_find))  # noqa: B010 - mypy lets no method be replaced


def _connect(config: dict[str, Any], use_strict_redis: bool = False) -> Redis:
    return _shared_pool(config["URL"])


@cache
def _shared_pool(url: str) -> Redis:
    """The connection pool of this process (thread-safe), and of each of its forks."""
    return connect(url)


_find_by_key: Any = vars(BaseWorker)["find_by_key"].__func__


def _find(kind: Any, *args: Any, **named: Any) -> BaseWorker | None:
    """RQ's find_by_key, which `all` calls too, without what it does to the connection's pool.

    For its blocking reads a worker raises the timeout of all later connections of the pool to seven minutes, although
    one that is found here is only looked at.
    """
    found: BaseWorker | None = _find_by_key(_as_found(kind), *args, **named)
    return found


@cache
def _as_found(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (kind,), {"_set_connection": lambda _worker, connection: connection})
