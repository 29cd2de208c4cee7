"""How far an advance is, or its part in one town: its jobs, counted by their states."""

from collections import Counter
from typing import Final

from jobs.states import ENDED, State

LIVE: Final = tuple(state for state in State if state not in ENDED)


class ByState:
    """Jobs that are counted by their states."""

    @property
    def counts(self) -> Counter[State]:
        raise NotImplementedError

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
