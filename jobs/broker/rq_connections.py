"""Make django-rq connect as we do: on its own it knows no Sentinel URLs and keeps using a replaced master."""

from typing import Any

from django_rq import connection_utils, cron, queues, utils
from redis import Redis

from scheduler_project.redis_connection import connect


def install() -> None:
    """Patch django-rq in this process and its forks; it has no setting for this."""
    for module in (connection_utils, cron, queues, utils):
        setattr(module, "get_redis_connection", _connect)  # noqa: B010 - mypy knows no such attribute of a module


def _connect(config: dict[str, Any], use_strict_redis: bool = False) -> Redis:
    return connect(config["URL"])
