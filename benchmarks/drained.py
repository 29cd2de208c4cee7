"""The result of draining a queue, on either side."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.spent import Spent


class BenchmarkFailed(Exception):
    """The measurement failed; the message is one line that says what to do."""


class Submitted(NamedTuple):
    """What the submitting process took."""

    seconds: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """The jobs finished after the warm-up, and their cost."""

    count: int
    seconds: float
    cpu_s: float  #: of the worker, in the same period
    rss_mb: float  #: of the worker, at its peak
    failures: int  #: attempts that failed
    jobs: int  #: all that were done, those of the warm-up too
    spent: Spent = field(default_factory=Spent)  #: by the shared servers, for all jobs

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.count / self.seconds if self.seconds > 0 else 0.0

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds of the worker per 1,000 jobs."""
        return self.cpu_s / self.count * 1000

    def figures(self) -> Iterator[tuple[str, str, float]]:
        """What a job costs, as (name, unit, value)."""
        yield "worker CPU", "s/1,000 jobs", self.cpu_s_per_1000
        yield from self.spent.figures(self.jobs)
