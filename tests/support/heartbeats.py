"""Wait for the heartbeats of the service's processes."""

from redis import Redis

from jobs.processes.heartbeat import statuses
from tests.support.servers import wait_until


def await_processes(redis: Redis, *roles: str) -> None:
    """Wait until a process of each role has sent a heartbeat; of schedulers and listeners the active one."""

    def running() -> set[str]:
        return {s.role for s in statuses(redis) if not s.lost and (s.role == "worker" or s.leads)}

    wait_until(lambda: running() >= set(roles), what=f"{', '.join(roles)} send heartbeats")
