"""What breaks when: a pure function of the seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

LONGEST_S: Final = 4.0  #: how long a fault lasts that has a length
CLOCK: Final = "clock"
SETS_CLOCK: Final = 1 / 3
EPOCHS: Final = ("", "", "", "", "autumn", "spring")  #: one run of three begins just before a clock change


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: when it strikes, how long it lasts, and the seed of its own choices."""

    at_s: float
    fault: str
    lasts_s: float
    seed: int

    def __str__(self) -> str:
        return f"{self.at_s:5.1f} s  {self.fault} ({self.lasts_s:.1f} s)"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The faults of one run, in order of time."""

    seed: int
    epoch: str  #: "autumn" or "spring": the clocks begin just before the change; empty: now
    steps: tuple[Step, ...]


def schedule_of(seed: int, *, seconds: float, count: int, domains: Mapping[str, str]) -> Schedule:
    """Spread `count` faults over the first four fifths of the time. `domains` names each fault's domain.

    The domains take turns, and so do the faults of each: none comes twice before each came once. Clocks are set in one
    run of three only, for the others also check that no job is early.
    """
    random = Random(seed)
    epoch = random.choice(EPOCHS)
    sets_clock = random.random() < SETS_CLOCK
    faults: dict[str, list[str]] = {}
    for name in sorted(domains):
        if sets_clock or domains[name] != CLOCK:
            faults.setdefault(domains[name], []).append(name)
    left: dict[str, list[str]] = {domain: [] for domain in faults}
    turns: list[str] = []
    names: list[str] = []
    while faults and len(names) < count:
        turns = turns or random.sample(sorted(faults), len(faults))
        domain = turns.pop()
        left[domain] = left[domain] or random.sample(faults[domain], len(faults[domain]))
        names.append(left[domain].pop())
    times = sorted(random.uniform(0, seconds * 0.8) for _ in names)
    steps = [
        Step(round(at, 3), name, round(random.uniform(1, LONGEST_S), 3), random.getrandbits(32))
        for at, name in zip(times, names, strict=True)
    ]
    return Schedule(seed, epoch, tuple(steps))
