"""The faults. Each strikes, lasts, and heals itself; faults of one domain never overlap."""

from collections.abc import Mapping

from tests.chaos.faults import clock, database, main_api, messages, processes, redis
from tests.chaos.faults.fault import Fault


def faults_for(kind: str) -> Mapping[str, Fault]:
    """The faults by name that a run on a kind of database can have."""
    every = [
        *processes.FAULTS,
        *redis.FAULTS,
        *database.FAULTS[kind],
        *main_api.FAULTS,
        *messages.FAULTS,
        *clock.FAULTS,
    ]
    return {fault.name: fault for fault in every}


def domains_of(table: Mapping[str, Fault]) -> dict[str, str]:
    """The domain of each fault by name."""
    return {name: fault.domain for name, fault in table.items()}
