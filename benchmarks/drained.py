"""How a run of many jobs went, on either side."""

from dataclasses import dataclass


class BenchmarkFailed(Exception):
    """Why a figure cannot be had; one line, naming what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Jobs done after the warm-up, and what they took."""

    count: int
    seconds: float
    cpu_s: float  #: of the worker, between the same two moments
    rss_mb: float  #: of the worker, at its largest
    failures: int  #: attempts that failed

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.count / self.seconds if self.seconds > 0 else 0.0

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds of the worker for 1,000 jobs."""
        return self.cpu_s / self.count * 1000
