"""The result of a check. Its JSON is stored, and printed by `check_main_api --json`: docs/main-api.md describes it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from scheduler_project.logs import mask
from scheduler_project.text import line

LONGEST: Final = 400  #: characters of what was found at one point


class Verdict(StrEnum):
    """How one point stands."""

    FITS = "fits"
    TOLERATED = "tolerated"  #: differs from the contract; the scheduler works with it
    FAULT = "fault"  #: the scheduler cannot work with it: the main API has to change
    NOT_SEEN = "not_seen"  #: nothing there lets it be tried without changing something


class CheckOutcome(StrEnum):
    """How the main API stands as a whole."""

    FITS = "fits"
    TOLERATED = "tolerated"
    CANNOT_WORK = "cannot_work"
    UNREACHABLE = "unreachable"


EXIT_CODES: Final[Mapping[CheckOutcome, int]] = {
    CheckOutcome.FITS: 0,
    CheckOutcome.TOLERATED: 0,
    CheckOutcome.CANNOT_WORK: 1,
    CheckOutcome.UNREACHABLE: 3,  # 2 is what a wrong command line ends with
}
WORDS: Final[Mapping[Verdict, str]] = {
    Verdict.FITS: "fits",
    Verdict.TOLERATED: "tolerated",
    Verdict.FAULT: "the API's fault",
    Verdict.NOT_SEEN: "not seen",
}


class Judgement(NamedTuple):
    """What a judge says of one point."""

    verdict: Verdict
    found: str


class PointVerdict(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    point: int
    what: str
    verdict: Verdict
    found: str  #: what was seen, or why nothing was
    advice: str  #: what the main API's owners must change; empty unless it differs

    @property
    def words(self) -> str:
        return WORDS[self.verdict]

    @property
    def sentence(self) -> str:
        """What was found, with a capital letter; names of the API keep theirs."""
        first = self.found.partition(" ")[0]
        found = self.found if first != first.lower() else f"{self.found[:1].upper()}{self.found[1:]}"
        return f"{found}."

    def as_sentence(self) -> str:
        """The point in one line."""
        must = "must" if self.verdict is Verdict.FAULT else "can"
        advice = f" Its owners {must} change: {self.advice}." if self.advice else ""
        return f"{self.words}: {self.found}.{advice}"


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    format: int = 1  #: grows when a field changes its meaning or goes
    checked_at: str  #: ISO 8601
    checked_by: str  #: the actor
    process: str  #: which process of which host
    url: str  #: without its password
    outcome: CheckOutcome
    reason: str  #: why it cannot be reached, or refuses everything; otherwise empty
    campaigns: int  #: that are visible
    operations: dict[str, str]  #: for each operation how it violates the served schema; empty if it does not
    schema: str  #: why there is no schema to validate operations against; empty if there is
    faults: list[str]  #: what is wrong beside the points
    points: list[PointVerdict]
    requests: int
    seconds: float

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]

    @property
    def invalid_operations(self) -> dict[str, str]:
        return {name: fault for name, fault in self.operations.items() if fault}

    @property
    def faulty(self) -> list[PointVerdict]:
        return [point for point in self.points if point.verdict is Verdict.FAULT]

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found | {"exitCode": self.exit_code}


def from_json(stored: Mapping[str, Any]) -> Report | None:
    """Read a stored report; None if it is of another release."""
    try:
        return msgspec.convert(stored, Report)
    except msgspec.ValidationError:
        return None


def outcome_of(points: list[PointVerdict], *, broken: bool) -> CheckOutcome:
    """How the main API stands; `broken` if something beside the points is wrong."""
    verdicts = {point.verdict for point in points}
    if broken or Verdict.FAULT in verdicts:
        return CheckOutcome.CANNOT_WORK
    return CheckOutcome.TOLERATED if Verdict.TOLERATED in verdicts else CheckOutcome.FITS


def quote(text: object) -> str:
    """One line of what the main API has said, without secrets."""
    return line(mask(str(text)), LONGEST).rstrip(".")
