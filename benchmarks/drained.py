"""The result of draining a queue, on either side."""

from dataclasses import dataclass


class BenchmarkFailed(Exception):
    """The measurement failed; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """The jobs finished after the warm-up, and their cost."""

    count: int
    seconds: float
    cpu_s: float  #: of the worker, in the same period
    rss_mb: float  #: of the worker, at its peak
    failures: int  #: attempts that failed

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.count / self.seconds if self.seconds > 0 else 0.0

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds of the worker per 1,000 jobs."""
        return self.cpu_s / self.count * 1000
