"""Samples CPU time and memory of processes from outside, in the same way for ours and the peer's."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

EVERY_S = 0.05
FAMILY_EVERY_S = 1.0  #: to find children, every process of the machine is read


@dataclass(slots=True)
class Sampler:
    """Samples processes and their children until `stop`."""

    pids: Sequence[int]
    samples: list[tuple[float, float, int]] = field(default_factory=list)  #: (seconds since 1970, CPU s, RSS bytes)
    written: int = 0  #: bytes that the processes have written to files, not to sockets
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> "Sampler":
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop sampling; the samples are kept."""
        self._stopping.set()
        if self._thread:
            self._thread.join()

    def cpu_s(self, since: float, until: float) -> float:
        """Return the CPU seconds used between two moments, interpolated between samples."""
        return cpu_at(self.samples, until) - cpu_at(self.samples, since)

    def rss_mb(self) -> float:
        """Return the peak resident memory in MB."""
        return max((rss for _, _, rss in self.samples), default=0) / 1e6

    def _sample(self) -> None:
        roots: list[psutil.Process] = []
        family: list[psutil.Process] = []
        looked_at = -FAMILY_EVERY_S
        while not self._stopping.wait(EVERY_S):
            try:
                if time.monotonic() - looked_at >= FAMILY_EVERY_S:
                    roots = [psutil.Process(pid) for pid in self.pids]
                    family = [process for root in roots for process in (root, *root.children(recursive=True))]
                    looked_at = time.monotonic()
                times = [p.cpu_times() for p in family]
                rss = sum(p.memory_info().rss for p in family)
            except psutil.NoSuchProcess:
                looked_at = -FAMILY_EVERY_S  # it or a child exited meanwhile
                continue
            self.written = sum(root.io_counters().write_chars for root in roots)
            self.samples.append((time.time(), sum(t.user + t.system for t in times), rss))


def cpu_at(samples: list[tuple[float, float, int]], moment: float) -> float:
    """Return the CPU seconds used up to a moment.

    >>> cpu_at([(10.0, 1.0, 0), (12.0, 2.0, 0)], 11.0)
    1.5
    """
    if not samples:
        return 0.0
    before = (samples[0][0], samples[0][1])
    for at, cpu, _ in samples:
        if at >= moment:
            span = at - before[0]
            return before[1] + (cpu - before[1]) * ((moment - before[0]) / span if span > 0 else 1.0)
        before = (at, cpu)
    return before[1]
