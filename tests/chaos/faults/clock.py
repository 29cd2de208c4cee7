"""Clocks that are set while processes run. Without a C compiler nothing happens."""

import time
from random import Random
from typing import Final

from tests.chaos.faults.fault import Fault, Strike
from tests.chaos.schedule import CLOCK
from tests.chaos.world import World


def _step(direction: int) -> Strike:
    def strike(world: World, random: Random, lasts_s: float) -> None:
        by_s = direction * random.uniform(5, 40)
        world.clock.step(by_s)
        time.sleep(lasts_s)
        world.clock.step(-by_s)

    return strike


FAULTS: Final = [Fault("clock forward", CLOCK, _step(1)), Fault("clock back", CLOCK, _step(-1))]
