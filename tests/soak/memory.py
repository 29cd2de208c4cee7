"""Memory by jobs done: a line through the samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import linear_regression
from typing import Final, NamedTuple

import psutil

#: kB for each 1,000 jobs. 100 is 10 MB for the 100,000 jobs of a soak, and 1 GB for ten million.
LARGEST_SLOPE_KB: Final = 100.0
LEAST_JOBS: Final = 20_000  #: after the warm-up; fewer say nothing about each
WARM_UP: Final = 1 / 3  #: the share of the samples that is left out: caches and pools fill


class Sample(NamedTuple):
    """The resident memory of a process and its children, when so many jobs were done."""

    jobs: int
    rss_kb: float


@dataclass(slots=True)
class Memory:
    """The samples of one process."""

    name: str
    pid: int
    samples: list[Sample] = field(default_factory=list)

    def sample(self, jobs: int) -> None:
        """Take a sample. Raises psutil.NoSuchProcess if the process has ended."""
        root = psutil.Process(self.pid)
        rss = root.memory_info().rss + sum(_rss(child) for child in root.children(recursive=True))
        self.samples.append(Sample(jobs, rss / 1024))

    @property
    def warm(self) -> list[Sample]:
        """The samples after the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP) :]

    @property
    def slope_kb(self) -> float:
        """Growth after the warm-up, in kB for each 1,000 jobs."""
        return slope_of(self.warm)

    @property
    def is_flat(self) -> bool:
        """Whether it grows less than LARGEST_SLOPE_KB, or there were too few jobs to say."""
        jobs = self.warm[-1].jobs - self.warm[0].jobs
        return jobs < LEAST_JOBS or self.slope_kb <= LARGEST_SLOPE_KB

    def __str__(self) -> str:
        first, middle, last = (f"{s.rss_kb / 1024:.1f}" for s in (self.samples[0], self.warm[0], self.samples[-1]))
        return f"{self.name:<10} {first:>7} {middle:>7} {last:>7} MB  {self.slope_kb:+8.1f} kB per 1,000 jobs"


def slope_of(samples: Sequence[Sample]) -> float:
    """The slope of the line of least squares, in kB for each 1,000 jobs.

    >>> slope_of([Sample(0, 10.0), Sample(1000, 13.0), Sample(2000, 16.0)])
    3.0
    """
    jobs = [sample.jobs for sample in samples]
    if len(set(jobs)) < 2:
        return 0.0
    return linear_regression(jobs, [sample.rss_kb for sample in samples]).slope * 1000


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
