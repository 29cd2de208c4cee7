"""What jobs did to each settlement and structure, by their results."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet

from jobs.models import Job
from jobs.schedules.predictions import Expected
from jobs.states import ENDED, State
from jobs.world.occurrences import ORDER

_RANKS: Final[Mapping[str, int]] = {event: rank for rank, event in enumerate(ORDER)}
_READ: Final = ("type", "state", "subject", "clock_due", "result", "error", "finished_at")


@dataclass(slots=True)
class EntityOutcome:
    """What became of a settlement or structure."""

    occurrences: Counter[str] = field(default_factory=Counter)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    """The level and variables that have changed; None for one that was removed."""
    version: int | None = None
    """Before the first update; None if there was none."""
    was_changed_between: bool = False
    """Whether others have changed it between two updates."""
    finished_at: datetime | None = None
    """When the last update was recorded."""
    dead: Job | None = None
    is_live: bool = False


class _Change(NamedTuple):
    version: int  #: that the update wrote
    rank: int
    event: str
    is_own: bool  #: whether the job was due by the advance's end
    finished_at: datetime | None
    values: Mapping[str, Any]


@dataclass(slots=True)
class _Found:
    outcome: EntityOutcome = field(default_factory=EntityOutcome)
    changes: list[_Change] = field(default_factory=list)


def read_outcomes(
    jobs: QuerySet[Job], *, until: str = "", expected: Mapping[str, Expected] | None = None
) -> dict[str, EntityOutcome]:
    """By the ID of the settlement or structure, from jobs that apply what is due of them.

    With `until`, a world time, the updates of jobs that were due by then. What was expected of an entity begins after
    the version that was read, and goes on with the updates of later jobs until it has occurred as often.
    """
    found: dict[str, _Found] = {}
    for job in jobs.only("id", *_READ).order_by().iterator(chunk_size=2000):
        entity_id, _, event = job.subject.rpartition(":")
        if entity_id and event in _RANKS:
            _note(found.setdefault(entity_id, _Found()), job, event, is_own=not until or job.clock_due <= until)
    return {entity_id: _merge(one, (expected or {}).get(entity_id)) for entity_id, one in found.items()}


def _note(found: _Found, job: Job, event: str, *, is_own: bool) -> None:
    outcome, state = found.outcome, State(job.state)
    if is_own:
        outcome.dead = job if state is State.DEAD else outcome.dead
        outcome.is_live = outcome.is_live or state not in ENDED
    if state is State.SUCCEEDED and isinstance(job.result, dict):
        version = job.result.get("version")
        for name, values in _changes(job.result, event):
            number = version if isinstance(version, int) else 0
            found.changes.append(_Change(number, _RANKS[name], name, is_own, job.finished_at, values))


def _changes(result: Mapping[str, Any], event: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Of the job's own event and of those that were applied with it."""
    also = result.get("also")
    for name, one in {event: result, **(also if isinstance(also, dict) else {})}.items():
        if name in _RANKS and isinstance(one, dict) and isinstance(one.get("occurrences"), int):
            yield name, one


def _merge(found: _Found, expected: Expected | None) -> EntityOutcome:
    """Put the changes of several updates together, in their order."""
    outcome = found.outcome
    last = 0
    wanted, read = (sum(expected.occurrences.values()), expected.version) if expected else (0, -1)
    for version, changes in groupby(sorted(found.changes, key=lambda one: one[:2]), key=lambda one: one.version):
        own = list(changes)
        if version > read and (any(one.is_own for one in own) or outcome.occurrences.total() < wanted):
            outcome.version = outcome.version or (version - 1 if version else None)
            outcome.was_changed_between = outcome.was_changed_between or bool(last and version > last + 1)
            last = version
            _add(outcome, own)
    for name in [name for name, value in outcome.after.items() if outcome.before[name] == value]:
        del outcome.before[name], outcome.after[name]
    return outcome


def _add(outcome: EntityOutcome, update: Sequence[_Change]) -> None:
    for one in update:
        outcome.occurrences[one.event] += one.values["occurrences"]
        before, after = (v if isinstance(v := one.values.get(name), dict) else {} for name in ("before", "after"))
        for name in {**before, **after}:
            outcome.before.setdefault(name, before.get(name))
            outcome.after[name] = after.get(name)
    outcome.finished_at = max((one.finished_at for one in update if one.finished_at), default=outcome.finished_at)
