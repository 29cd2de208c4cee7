"""Heartbeats of the service's processes."""

from datetime import datetime

import msgspec
from redis import Redis

from jobs.broker import keys
from jobs.processes.heartbeat import ProcessStatus, statuses
from tests.support.servers import wait_until


def await_processes(redis: Redis, *roles: str) -> None:
    """Wait until a process of each role has sent a heartbeat; of schedulers and listeners the active one."""

    def present() -> set[str]:
        return {s.role for s in statuses(redis) if not s.lost and (s.role == "worker" or s.leads)}

    wait_until(lambda: present() >= set(roles), what=f"{', '.join(roles)} send heartbeats")


def lose(redis: Redis, role: str, last_seen: datetime) -> None:
    """Leave what a process of this role leaves that was killed after its last heartbeat."""
    at = last_seen.timestamp()
    status = ProcessStatus(role=role, name="w", host="h", pid=1, version="1", state="active", since=at - 60, at=at)
    redis.hset(keys.PROCESSES, status.key, msgspec.json.encode(status))
