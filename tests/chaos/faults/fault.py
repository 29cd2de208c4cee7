"""What a fault is."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.chaos.world import World

Strike = Callable[[World, Random, float], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break something. `strike` returns once everything it broke works again."""

    name: str
    domain: str
    strike: Strike
