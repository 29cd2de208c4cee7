"""How far an advance is, or its part in one town: its jobs, counted by their states."""

from abc import ABC, abstractmethod
from collections import Counter
from typing import Final

from jobs.states import ENDED, State

LIVE: Final = tuple(state for state in State if state not in ENDED)


class ByState(ABC):
    """Jobs that are counted by their states."""

    @property
    @abstractmethod
    def counts(self) -> Counter[State]: ...

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def applied(self) -> int:
        return self.counts[State.SUCCEEDED] + self.counts[State.SKIPPED]

    @property
    def failed(self) -> int:
        return self.counts[State.DEAD]

    @property
    def live(self) -> int:
        return sum(self.counts[state] for state in LIVE)
