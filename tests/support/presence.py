"""Who of the service's processes is there."""

from redis import Redis

from jobs.processes.heartbeat import statuses
from tests.support.servers import wait_until


def await_processes(redis: Redis, *roles: str) -> None:
    """Wait until a process of each role has said that it is there; of schedulers and listeners the one that leads."""

    def there() -> set[str]:
        return {word.role for word in statuses(redis) if not word.lost and (word.role == "worker" or word.leads)}

    wait_until(lambda: there() >= set(roles), what=f"{', '.join(roles)} are there")
