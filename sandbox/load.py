"""How many requests clients send at a time, and a server whose capacity is limited."""

import heapq
from collections import deque


class Load:
    """The times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.most_in_flight = 0
        self.most_in_a_second = 0  #: that began within any second
        self._began: deque[float] = deque()
        self._free_at: list[float] = []  #: heap: when each server is free

    def begin(self, now: float) -> None:
        """Note that a request has arrived."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._began.append(now)
        while self._began[0] <= now - 1:
            self._began.popleft()
        self.most_in_a_second = max(self.most_in_a_second, len(self._began))

    def end(self) -> None:
        self.in_flight -= 1

    def delay(self, now: float, service_s: float, servers: int) -> float:
        """How long a request takes that one of so many servers works on for `service_s`; 0: there is always one free.

        >>> load = Load()
        >>> [load.delay(0.0, 2.0, 2) for _ in range(5)]
        [2.0, 2.0, 4.0, 4.0, 6.0]
        """
        if not servers:
            return service_s
        if len(self._free_at) != servers:
            self._free_at = [now] * servers
        begins = max(now, heapq.heappop(self._free_at))
        heapq.heappush(self._free_at, begins + service_s)
        return begins + service_s - now
