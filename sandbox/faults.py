"""Faults that tests and demos inject between the scheduler and the main API."""

import random
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox.contract import Refusal
from sandbox.world import World


class BadFaults(ValueError):
    """An unknown or malformed field of the control endpoint; the message names it."""


@dataclass(slots=True)
class Faults:
    latencyMs: float = 0  # noqa: N815 - the names of the control endpoint
    servers: int = 0  #: requests that are worked on at a time, each for latencyMs, while others wait; 0: all of them
    errorRate: float = 0  # noqa: N815
    graphqlErrorRate: float = 0  # noqa: N815
    outage: bool = False
    trickle: float = 0
    versionConflicts: int = 0  # noqa: N815
    rateLimit: dict[str, Any] = field(default_factory=dict)  # noqa: N815
    malformed: int = 0
    ignoreKeys: bool = False  # noqa: N815 - every request is carried out, whatever its Idempotency-Key
    loseAnswers: int = 0  # noqa: N815
    largestRequest: int = 0  # noqa: N815 - longest body in bytes; 0: any
    replies: list[dict[str, Any]] = field(default_factory=list)  #: answers that replace those of executed requests
    failEventIds: list[str] = field(default_factory=list)  # noqa: N815
    operations: list[str] = field(default_factory=list)
    _chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - no secret

    def set(self, wanted: dict[str, Any]) -> None:
        """Set the fields of `wanted`. Raises BadFaults with the name of an unknown or malformed field."""
        known = self.as_json()
        for name, value in wanted.items():
            if name not in known:
                raise BadFaults(f"{name}: unknown; known: {', '.join(known)}")
            number = isinstance(known[name], int | float) and not isinstance(known[name], bool)
            fits = isinstance(value, int | float) if number else isinstance(value, type(known[name]))
            if not fits or (number and value < 0) or not _has_valid_items(value):
                raise BadFaults(f"{name}: got {value!r}")
        for name, value in wanted.items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}

    def apply_to(self, query: str) -> bool:
        """Return whether the faults apply to a request with this document."""
        return not self.operations or any(name in query for name in self.operations)

    def unlucky(self, rate: float) -> bool:
        """Draw whether this request fails."""
        return rate > 0 and self._chance.random() < rate

    def before_field(self, world: World, name: str, args: dict[str, Any]) -> None:
        """Raise the error of a root field that should fail."""
        if name == "expireEvent" and args["eventId"] in self.failEventIds:
            raise Refusal("INTERNAL_SERVER_ERROR", f"event {args['eventId']} cannot be expired")
        if self.unlucky(self.graphqlErrorRate) and (not self.operations or name in self.operations):
            raise Refusal("INTERNAL_SERVER_ERROR", "something broke")
        if name in ("updateSettlement", "updateStructure") and self.versionConflicts > 0:
            self.versionConflicts -= 1
            table = world.settlements if name == "updateSettlement" else world.structures
            if args["id"] in table:
                table[args["id"]]["version"] += 1


def _is_reply(value: Any) -> bool:
    """Check a reply, whose body may be repeated: {"status": 200, "body": "[", "times": 200000}."""
    known = {"status": int, "body": str, "times": int}
    return isinstance(value, dict) and all(name in known and type(v) is known[name] for name, v in value.items())


def _has_valid_items(value: Any) -> bool:
    """Check that a list holds strings or replies, and a map only numbers under the rate limit's keys."""
    if isinstance(value, list):
        return all(isinstance(entry, str) or _is_reply(entry) for entry in value)
    if isinstance(value, dict):
        return value.keys() <= {"next", "retryAfterS"} and all(type(amount) is int for amount in value.values())
    return True
