"""The state of one benchmark."""

from dataclasses import dataclass, field
from typing import Any

import urllib3

from benchmarks.drained import BenchmarkFailed, Drained
from benchmarks.figures import Figure
from benchmarks.our_side import Ours
from benchmarks.peer_side import Peer
from benchmarks.spent import Servers

WORLD = {"campaigns": 3, "kingdoms": 2, "settlements": 3, "structures": 3}


@dataclass(slots=True)
class Bench:
    """Both sides, the sandbox that they call, the scale, and the figures so far."""

    ours: Ours
    peer: Peer | None
    api_url: str
    our_redis: str
    servers: Servers
    scale: float  #: 1 for the documented sizes, less with --quick
    figures: dict[tuple[str, str], Figure] = field(default_factory=dict)

    def note(
        self, scenario: str, name: str, unit: str, *, ours: float | None = None, peer: float | None = None
    ) -> None:
        """Add the values of one run."""
        figure = self.figures.setdefault((scenario, name), Figure(scenario=scenario, name=name, unit=unit))
        if ours is not None:
            figure.ours.append(ours)
        if peer is not None:
            figure.peer.append(peer)

    def note_cost(self, scenario: str, side: str, drained: Drained) -> None:
        """Add what a job of one run cost."""
        for name, unit, value in drained.figures():
            self.note(scenario, name, unit, **{side: value})

    def start_empty(self) -> None:
        """Start a scenario: without what earlier ones left on either side, and with the sandbox's first world."""
        self.control("DELETE", "faults")
        self.control("POST", "reset", WORLD)
        self.ours.clear()
        self.ours.fill(0)
        if self.peer:
            self.peer.clear()

    def sized(self, count: int) -> int:
        return max(20, int(count * self.scale))

    def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Call a control endpoint of the sandbox."""
        url = self.api_url.replace("/graphql", f"/control/{path}")
        answer = urllib3.request(method, url, json=body, timeout=60)
        if answer.status != 200:
            raise BenchmarkFailed(f"{method} {url} answered {answer.status}")
        found: dict[str, Any] = answer.json()
        return found
