"""Processes that are killed, suspended beyond their lease, or asked to end."""

import time
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Final

from jobs.processes.lease import DURATION
from tests.chaos.faults.fault import Fault, Strike
from tests.chaos.world import LEASE_S, ROLES, World


def _kill(role: str) -> Strike:
    def strike(world: World, random: Random, lasts_s: float) -> None:
        with world.take_down(random.choice(world.names_of(role))) as running:
            running.stop(SIGKILL)
            time.sleep(lasts_s / 2)

    return strike


def _end(role: str) -> Strike:
    def strike(world: World, random: Random, lasts_s: float) -> None:
        name = random.choice(world.names_of(role))
        with world.take_down(name):
            world.end(name)

    return strike


def _suspend(role: str) -> Strike:
    """Longer than its jobs' leases, or than its own as the active one: another takes over, then it wakes up."""

    def strike(world: World, random: Random, lasts_s: float) -> None:
        with world.take_down(random.choice(world.names_of(role))) as running:
            running.process.send_signal(SIGSTOP)
            time.sleep((LEASE_S if role == "worker" else DURATION.total_seconds()) + lasts_s)
            running.process.send_signal(SIGCONT)

    return strike


def _suspend_briefly(role: str) -> Strike:
    def strike(world: World, random: Random, lasts_s: float) -> None:
        with world.take_down(random.choice(world.names_of(role))) as running:
            running.process.send_signal(SIGSTOP)
            time.sleep(lasts_s)
            running.process.send_signal(SIGCONT)

    return strike


_WAYS: Final = {"kill": _kill, "suspend": _suspend, "hang": _suspend_briefly, "end": _end}
FAULTS: Final = [Fault(f"{way} {role}", role, make(role)) for way, make in _WAYS.items() for role in ROLES]
