"""Counts inputs, and the CPU time that each took."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

LONGEST_CPU_S: Final = 1.0
LONGEST_S: Final = 30.0  #: waiting included: a busy machine stalls everybody, but not for so long

Figures = dict[str, list[float]]  #: by kind: the number of inputs, and the longest CPU time of one in s


class Meters:
    """The figures of each kind of input."""

    def __init__(self) -> None:
        self.figures: Figures = {}

    @contextmanager
    def one(self, kind: str) -> Iterator[None]:
        """Measure one input. Raises AssertionError if it stalled."""
        began_cpu, began = time.thread_time(), time.monotonic()
        yield
        took = time.thread_time() - began_cpu
        self.add({kind: [1, took]})
        assert took < LONGEST_CPU_S, f"{kind}: an input took {took:.2f} s of CPU time"
        assert time.monotonic() - began < LONGEST_S, f"{kind}: an input took {time.monotonic() - began:.0f} s"

    def add(self, figures: Mapping[str, list[float]]) -> None:
        """Add figures, of another process perhaps."""
        for kind, (count, longest) in figures.items():
            known = self.figures.setdefault(kind, [0, 0.0])
            known[0] += count
            known[1] = max(known[1], longest)

    def lines(self) -> list[str]:
        """The totals."""
        total = sum(count for count, _ in self.figures.values())
        lines = [f"{kind}: {n:,.0f} inputs, longest {s * 1000:.0f} ms" for kind, (n, s) in self.figures.items()]
        return [*lines, f"all: {total:,.0f} inputs"]


METERS: Final = Meters()
