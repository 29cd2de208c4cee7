"""Applies due jobs to the entities of one campaign: read many, apply the rules, write back with their versions.

A batch takes a few requests however many jobs it has. All jobs of one entity become ONE update, which carries the
version that was read and the marks of what was applied, so that a repetition changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

import structlog

from jobs.errors import JobError, Skip, VersionConflict
from jobs.main_api.model import Settlement, Structure
from jobs.main_api.updates import Update
from jobs.registry import Answer, Item
from jobs.run import Applied, Run
from jobs.world.change import Change
from jobs.world.clock import WorldTime
from jobs.world.due import Due, outstanding
from jobs.world.marks import is_job_applied, read_mark, with_job, with_mark

log = structlog.get_logger(__name__)
E_ = TypeVar("E_", Settlement, Structure)
TRIES = 5  # reads per attempt before a busy entity is left to the next attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRules(Generic[E_]):
    """What differs between settlements and structures."""

    entity_of: Callable[[Any], str]
    """Returns the entity ID in a payload."""
    event_of: Callable[[Any], str]
    """Returns the event type in a payload."""
    read: Callable[[Run, Sequence[str]], Mapping[str, E_ | JobError | None]]
    """Reads current entities."""
    rules: Callable[[Run, Sequence[tuple[E_, Sequence[str]]]], Callable[[E_, int, dict[str, Any], str, int], Change]]
    """Reads whatever else the rules need and returns the rule, which takes the entity, its level and variables so far,
    the event and the number of occurrences."""
    intervals: Callable[[int, dict[str, Any]], Mapping[Any, timedelta]]
    """Returns the recurring events with their intervals."""
    write: Callable[[Run, Sequence[Update[E_]]], Mapping[str, E_ | JobError]]
    """Updates entities and returns each one's new state or error."""


@dataclass(slots=True)
class _Applied:
    """A job's change, before it is written."""

    position: int
    event: str
    result: dict[str, Any]


@dataclass(slots=True)
class PendingEntity(Generic[E_]):
    """One entity and its jobs in the batch."""

    positions: list[int]
    applied: list[_Applied] = field(default_factory=list)
    level: int = 0
    variables: dict[str, Any] = field(default_factory=dict)


def apply_batch(items: Sequence[Item], rules: EntityRules[E_]) -> list[Answer]:
    """Apply each job's outstanding occurrences. Returns for each its changes, Skip if nothing was left, or an error."""
    answers: dict[int, Answer] = _skip_inactive(items)
    works: dict[str, PendingEntity[E_]] = {}
    for position, item in enumerate(items):
        if position in answers:
            continue
        works.setdefault(rules.entity_of(item.payload), PendingEntity([])).positions.append(position)
    noted: list[Applied] = []
    for _ in range(TRIES):
        if not works:
            break
        works = _apply_once(items, rules, works, answers, noted)
    for entity_id, work in works.items():
        busy = VersionConflict(f"{entity_id} changed {TRIES} times between reading and writing")
        answers |= dict.fromkeys(work.positions, busy)
    run = items[0].run
    if noted:
        run.submit(run.schedules.record_applied(noted))
    return [answers[position] for position in range(len(items))]


def _skip_inactive(items: Sequence[Item]) -> dict[int, Answer]:
    """Skip scheduled jobs if the campaign was inactive when last seen, as its clock stands still.

    Jobs that a person submitted still run.
    """
    scheduled = [position for position, item in enumerate(items) if item.run.clock_due is not None]
    run = items[0].run
    if not scheduled or run.schedules.is_active(run.campaign_id):
        return {}
    return dict.fromkeys(scheduled, Skip(f"campaign {run.campaign_id} is inactive"))


def _apply_once(
    items: Sequence[Item],
    rules: EntityRules[E_],
    works: dict[str, PendingEntity[E_]],
    answers: dict[int, Answer],
    noted: list[Applied],
) -> dict[str, PendingEntity[E_]]:
    """Read, apply and write once. Returns the entities that changed meanwhile, to try again."""
    run = items[0].run
    entities: dict[str, E_] = {}
    for entity_id, found in rules.read(run, list(works)).items():
        if isinstance(found, JobError):
            answers |= dict.fromkeys(works[entity_id].positions, found)
        elif found is None or found.archived_at:
            gone = Skip(f"{entity_id} is gone or archived")
            answers |= dict.fromkeys(works[entity_id].positions, gone)
            run.schedules.forget(entity_id)
        else:
            entities[entity_id] = found
    requested = [(e, [rules.event_of(items[p].payload) for p in works[i].positions]) for i, e in entities.items()]
    rule = rules.rules(run, requested) if requested else None
    updates: list[Update[E_]] = []
    for entity_id, entity in entities.items():
        if rule is not None and _apply(items, rules, works[entity_id], entity, rule, answers, noted):
            work = works[entity_id]
            updates.append(_update_of(items, work, entity))
    again: dict[str, PendingEntity[E_]] = {}
    for entity_id, written in _write(run, rules, updates).items():
        work = works[entity_id]
        if isinstance(written, VersionConflict):
            again[entity_id] = PendingEntity([a.position for a in work.applied])
        elif isinstance(written, JobError):
            answers |= dict.fromkeys((a.position for a in work.applied), written)
        else:
            _settle(items, rules, work, written, answers, noted)
    return again


def _update_of(items: Sequence[Item], work: PendingEntity[E_], entity: E_) -> Update[E_]:
    """The entity's update, dated by the last due world time that is applied; a person's job, by the world's clock."""
    runs = [items[applied.position].run for applied in work.applied]
    world_times = [run.clock_due for run in runs if isinstance(run.clock_due, WorldTime)]
    now = max(world_times).isoformat() if world_times else runs[0].schedules.world_time(runs[0].campaign_id)
    return Update(entity, level=work.level, variables=work.variables, key=runs[0].job_id, world_time=now or None)


def _write(run: Run, rules: EntityRules[E_], updates: Sequence[Update[E_]]) -> Mapping[str, E_ | JobError]:
    try:
        return rules.write(run, updates) if updates else {}
    except JobError as error:  # nothing was sent: the campaign's main branch was not found
        return {update.entity.id: error for update in updates}


def _apply(
    items: Sequence[Item],
    rules: EntityRules[E_],
    work: PendingEntity[E_],
    entity: E_,
    rule: Callable[[E_, int, dict[str, Any], str, int], Change],
    answers: dict[int, Answer],
    noted: list[Applied],
) -> bool:
    """Apply the entity's jobs in turn to its level and variables. Returns whether there is anything to write."""
    work.level, work.variables = entity.level, entity.variables if isinstance(entity.variables, dict) else {}
    for position in work.positions:
        item = items[position]
        event = rules.event_of(item.payload)
        count = _outstanding(item.run, event, work.variables)
        if not count:
            answers[position] = Skip(f"{event} of {entity.name} is applied already")
            _note(item.run, event, entity.id, rules.intervals(work.level, work.variables), noted)
            continue
        try:
            change = rule(entity, work.level, work.variables, event, count)
        except JobError as error:  # what the rule needs could not be read
            answers[position] = error
            continue
        for warning in change.warnings:
            log.warning("variables.defaulted", entity_id=entity.id, warning=warning)
        due = item.run.clock_due
        marked = with_mark(change.variables, event, due) if due else with_job(change.variables, event, item.run.job_id)
        result = {
            "entity": entity.name,
            "summary": change.summary,
            "occurrences": count,
            "before": _differences(work.level, work.variables, change.level, change.variables),
            "after": _differences(change.level, change.variables, work.level, work.variables),
        }
        work.applied.append(_Applied(position, event, result))
        work.level, work.variables = change.level, marked
    return bool(work.applied)


def _settle(
    items: Sequence[Item],
    rules: EntityRules[E_],
    work: PendingEntity[E_],
    written: E_,
    answers: dict[int, Answer],
    noted: list[Applied],
) -> None:
    """Finish the jobs of an entity that was written."""
    intervals = rules.intervals(work.level, work.variables)
    for applied in work.applied:
        answers[applied.position] = {**applied.result, "version": written.version}
        _note(items[applied.position].run, applied.event, written.id, intervals, noted)


def _outstanding(run: Run, event: str, variables: dict[str, Any]) -> int:
    if run.clock_due is None:
        return 0 if is_job_applied(variables, event, run.job_id) else run.occurrences
    mark = read_mark(variables, event, type(run.clock_due))
    due = Due(run.clock_due, run.occurrences)
    return outstanding(due, run.interval or timedelta(minutes=1), mark)


def _note(run: Run, event: str, entity_id: str, intervals: Mapping[Any, timedelta], noted: list[Applied]) -> None:
    if run.clock_due is not None:
        noted.append(Applied(entity_id, event, run.clock_due, intervals.get(event)))


def _differences(level: int, variables: dict[str, Any], other_level: int, other: dict[str, Any]) -> dict[str, Any]:
    """The part of (level, variables) that differs from the other pair, for a result's before and after."""
    kept = {name: value for name, value in variables.items() if other.get(name) != value and name != "schedulerMarks"}
    return kept if level == other_level else {"level": level, **kept}
