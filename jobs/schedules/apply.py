"""Applies due jobs to the entities of one campaign: read many, advance them, write back with their versions.

A batch takes a few requests however many jobs it has. Whatever its jobs name, an entity is advanced as a whole, up to
its campaign's clock and in the order of its events' due times (jobs/world/household.py): ONE update, which carries the
version that was read and the marks of what was applied, so that a repetition changes nothing.

A slow main API may leave no time for all of them: entities are applied in parts, and the jobs of those that have not
begun after a third of the time limit are handed back.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import structlog
from django.db import transaction

from jobs.errors import JobError, NotBegun, Skip, VersionConflict
from jobs.main_api.model import Settlement, Structure
from jobs.main_api.reading import READ_BATCH
from jobs.main_api.updates import Update
from jobs.registry import Answer, Item
from jobs.run import Applied
from jobs.schedules.households import DueEntity, as_world_entity
from jobs.schedules.results import changes_of, differences, result_of
from jobs.schedules.rules import EntityAdvance, EntityRules
from jobs.schedules.submitting import submit_due
from jobs.slices import SliceBudget
from jobs.world.clock import Moment, WallTime, WorldTime
from jobs.world.entity import Advanced
from jobs.world.marks import is_job_applied, with_job

log = structlog.get_logger(__name__)
E_ = TypeVar("E_", Settlement, Structure)
TRIES: Final = 5  #: reads per attempt before a busy entity is left to the next attempt
BATCH: Final = 6 * READ_BATCH  #: jobs: as many entities as two or three requests read, each with two or three events
PART: Final = READ_BATCH  #: entities that one request reads, and one writes
RECORDED_AFTER_S: Final = 1.0  #: what was applied is recorded at the end, and before that when a part ends so late


@dataclass(slots=True)
class _Pending(Generic[E_]):
    """One entity and its jobs in the batch."""

    due: list[int] = field(default_factory=list)
    by_hand: list[int] = field(default_factory=list)
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By position: the results to return once they are written."""
    update: Update[E_] | None = None
    noted: list[Applied] = field(default_factory=list)

    @property
    def positions(self) -> list[int]:
        return [*self.due, *self.by_hand]


def apply_batch(items: Sequence[Item], rules: EntityRules[E_]) -> list[Answer]:
    """Apply what is due. Returns each job's changes, Skip if nothing was left, or an error."""
    return _Batch(items, rules).apply()


class _Batch(Generic[E_]):
    """The jobs of one campaign that are applied together."""

    def __init__(self, items: Sequence[Item], rules: EntityRules[E_]) -> None:
        self._items = items
        self._rules: EntityRules[E_] = rules
        self._run = items[0].run
        self._answers: dict[int, Answer] = _skip_stopped_clocks(items)
        self._noted: list[Applied] = []
        self._gone: list[str] = []

    def apply(self) -> list[Answer]:
        budget = SliceBudget(self._rules.job_type, len(self._items))
        works = self._group()
        until = self._until({i: self._last_due(work) for i, work in works.items() if work.due})
        recorded_at = time.monotonic()
        while works:
            part = dict(islice(works.items(), PART))
            works = {i: work for i, work in works.items() if i not in part}
            self._apply_part(part, until, budget)
            if budget.spent:
                for work in works.values():
                    late = NotBegun("handed back: the jobs before it took a third of the time limit")
                    self._answers |= dict.fromkeys(work.positions, late)
                works = {}
            if not works or time.monotonic() - recorded_at >= RECORDED_AFTER_S:
                self._record()
                recorded_at = time.monotonic()
        return [self._answers[position] for position in range(len(self._items))]

    def _apply_part(self, works: dict[str, _Pending[E_]], until: Mapping[str, Moment], budget: SliceBudget) -> None:
        """Apply what is due of some entities; those that change meanwhile are read again while there is time."""
        tries = 0
        while works and tries < TRIES and not (tries and budget.spent):
            works = self._apply_once(works, until)
            tries += 1
        for entity_id, work in works.items():
            times = "once" if tries == 1 else f"{tries} times"
            busy = VersionConflict(f"{entity_id} changed {times} between reading and writing")
            self._answers |= dict.fromkeys(work.positions, busy)

    def _record(self) -> None:
        """Bring the schedules up to date with what was applied, and submit what is due then."""
        if self._gone:
            with transaction.atomic():
                submit_due(self._run.submit, self._run.schedules.forget(*self._gone))
        if self._noted:
            with transaction.atomic():
                submit_due(self._run.submit, self._run.schedules.record_applied(self._noted))
        self._gone, self._noted = [], []

    def _group(self) -> dict[str, _Pending[E_]]:
        works: dict[str, _Pending[E_]] = {}
        for position, item in enumerate(self._items):
            if position not in self._answers:
                work = works.setdefault(self._rules.entity_of(item.payload), _Pending())
                (work.by_hand if item.run.clock_due is None else work.due).append(position)
        return works

    def _last_due(self, work: _Pending[E_]) -> Moment:
        dues = [due for position in work.due if (due := self._items[position].run.clock_due) is not None]
        return max(dues, key=lambda due: due.at)

    def _until(self, last_due: Mapping[str, Moment]) -> dict[str, Moment]:
        """Up to when entities are advanced: on world time, to the campaign's clock or its stop, without the barrier."""
        until = dict(last_due)
        reading = self._run.schedules.advances_to(self._run.campaign_id)
        if reading:
            until = {i: max(due, reading) if isinstance(due, WorldTime) else due for i, due in until.items()}
        for entity_id, barrier in self._rules.barriers(self._run, until).items():
            if barrier.at <= until[entity_id].at:
                before = type(barrier)(barrier.at - timedelta(microseconds=1))
                until[entity_id] = max(last_due[entity_id], before)
        return until

    def _apply_once(self, works: dict[str, _Pending[E_]], until: Mapping[str, Moment]) -> dict[str, _Pending[E_]]:
        """Read, advance and write once. Returns the entities that changed meanwhile, to try again."""
        entities = self._read(works)
        advanced = self._advance({i: entity for i, entity in entities.items() if works[i].due}, works, until)
        for entity_id, entity in entities.items():
            found = advanced.get(entity_id)
            if isinstance(found, JobError):
                self._answers |= dict.fromkeys(works[entity_id].positions, found)
            else:
                self._prepare(works[entity_id], entity, found)
        updates = [work.update for i in entities if (work := works[i]).update is not None]
        again: dict[str, _Pending[E_]] = {}
        for entity_id, written in self._write([update for update in updates if update]).items():
            work = works[entity_id]
            if isinstance(written, VersionConflict):
                again[entity_id] = _Pending(
                    due=[p for p in work.due if p in work.results],
                    by_hand=[p for p in work.by_hand if p in work.results],
                )
            elif isinstance(written, JobError):
                self._answers |= dict.fromkeys(work.results, written)
            else:
                self._answers |= {p: {**result, "version": written.version} for p, result in work.results.items()}
                self._noted += work.noted
        return again

    def _read(self, works: Mapping[str, _Pending[E_]]) -> dict[str, E_]:
        entities: dict[str, E_] = {}
        for entity_id, found in self._rules.read(self._run, list(works)).items():
            if isinstance(found, JobError):
                self._answers |= dict.fromkeys(works[entity_id].positions, found)
            elif found is None or found.archived_at:
                gone = Skip(f"{entity_id} is gone or archived")
                self._answers |= dict.fromkeys(works[entity_id].positions, gone)
                self._gone.append(entity_id)
            else:
                entities[entity_id] = found
        return entities

    def _advance(
        self, entities: Mapping[str, E_], works: Mapping[str, _Pending[E_]], until: Mapping[str, Moment]
    ) -> Mapping[str, EntityAdvance | JobError]:
        if not entities:
            return {}
        anchors = self._run.schedules.anchors(list(entities))
        due = []
        for entity_id, entity in entities.items():
            known = anchors.get(entity_id, {})
            if not known.keys() >= set(self._rules.events):
                known = {**self._begun(works[entity_id]), **known}
            in_world = as_world_entity(entity, self._rules.events, known, until[entity_id])
            attempts = min(self._items[position].run.attempts for position in works[entity_id].due)
            due.append(DueEntity(entity, in_world, until[entity_id], attempts))
        return self._rules.advance(self._run, due)

    def _begun(self, work: _Pending[E_]) -> dict[str, Moment]:
        """When the intervals of its jobs began: for an entity whose schedule is lost."""
        begun: dict[str, Moment] = {}
        for position in work.due:
            run = self._items[position].run
            if run.clock_due is not None and run.interval is not None:
                kind = type(run.clock_due)
                begun[self._rules.event_of(self._items[position].payload)] = kind(
                    run.clock_due.at - run.interval * run.occurrences
                )
        return begun

    def _prepare(self, work: _Pending[E_], entity: E_, advance: EntityAdvance | None) -> None:
        """Answer the jobs for which nothing is left; prepare the update and the answers of the others."""
        level, variables = entity.level, entity.variables if isinstance(entity.variables, dict) else {}
        last: Moment | None = None
        if advance is not None:
            after = advance.after
            level, variables = after.level, after.variables
            last = max((one.last for one in after.occurred.values()), default=None)
            for warning in after.warnings:
                log.warning("variables.defaulted", entity_id=entity.id, warning=warning)
            work.noted = self._notes(entity, after)
            self._answer_due(work, entity, advance)
        for position in work.by_hand:
            level, variables = self._by_hand(work, position, entity, level, variables)
        if not work.results and not (advance and advance.after.occurred):
            self._noted += work.noted
            return
        self._date(work, entity, level, variables, last)

    def _date(self, work: _Pending[E_], entity: E_, level: int, variables: dict[str, Any], last: Moment | None) -> None:
        """The update is dated by the last due world time that is applied; a person's job, by the world's clock."""
        now = last.isoformat() if isinstance(last, WorldTime) else ""
        reading = None if now else self._run.schedules.advances_to(self._run.campaign_id)
        now = now or (reading.isoformat() if reading else "")
        work.update = Update(entity, level=level, variables=variables, key=self._run.job_id, world_time=now or None)

    def _answer_due(self, work: _Pending[E_], entity: E_, advance: EntityAdvance) -> None:
        """The last job of each event answers for it; what occurred without a job here stands in the first answer."""
        occurred = dict(advance.after.occurred)
        for position in sorted(work.due, key=self._due_of, reverse=True):
            event = self._rules.event_of(self._items[position].payload)
            if event in advance.errors:
                self._answers[position] = advance.errors[event]
            elif event in occurred:
                work.results[position] = result_of(entity, occurred.pop(event))
            else:
                self._answers[position] = Skip(f"{event} of {entity.name} is applied already")
                if event not in advance.after.next and (due := self._items[position].run.clock_due) is not None:
                    work.noted.append(Applied(entity.id, event, due))  # an earlier attempt may not have recorded it
        if occurred:
            also = {event: changes_of(one) for event, one in occurred.items()}
            first = next(iter(work.results), None)
            if first is not None:
                work.results[first]["also"] = also

    def _due_of(self, position: int) -> Any:
        due = self._items[position].run.clock_due
        return due.at if due is not None else None

    def _by_hand(
        self, work: _Pending[E_], position: int, entity: E_, level: int, variables: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        run, event = self._items[position].run, self._rules.event_of(self._items[position].payload)
        if is_job_applied(variables, event, run.job_id):
            self._answers[position] = Skip(f"{event} of {entity.name} is applied already")
            return level, variables
        try:
            change = self._rules.by_hand(run, entity, level, variables, event, run.occurrences)
        except JobError as error:  # what the rule needs could not be read
            self._answers[position] = error
            return level, variables
        for warning in change.warnings:
            log.warning("variables.defaulted", entity_id=entity.id, warning=warning)
        work.results[position] = {
            "entity": entity.name,
            "summary": change.summary,
            "occurrences": run.occurrences,
            "before": differences(level, variables, change.level, change.variables),
            "after": differences(change.level, change.variables, level, variables),
        }
        return change.level, with_job(change.variables, event, run.job_id)

    def _notes(self, entity: E_, after: Advanced[Any]) -> list[Applied]:
        """What the entity's schedule becomes: events that recur, and those that do not any more."""
        recurring: list[Applied] = [
            Applied(entity.id, event, one.anchor, one.interval, one.due, self._rules.payload_of(entity.id, event))
            for event, one in after.next.items()
        ]
        ended: list[Applied] = [
            Applied(entity.id, e, one.last) for e, one in after.occurred.items() if e not in after.next
        ]
        return [*recurring, *ended]

    def _write(self, updates: Sequence[Update[E_]]) -> Mapping[str, E_ | JobError]:
        try:
            return self._rules.write(self._run, updates) if updates else {}
        except JobError as error:  # nothing was sent: the campaign's main branch was not found
            return {update.entity.id: error for update in updates}


def _skip_stopped_clocks(items: Sequence[Item]) -> dict[int, Answer]:
    """Skip scheduled jobs of an inactive campaign; of jobs of both clocks, those of the clock that it has left.

    Jobs that a person submitted still run. Where all jobs are of one clock, whether it is the campaign's is not asked.
    """
    dues = {position: due for position, item in enumerate(items) if (due := item.run.clock_due) is not None}
    run = items[0].run
    if not dues:
        return {}
    if not run.schedules.is_active(run.campaign_id):
        return dict.fromkeys(dues, Skip(f"campaign {run.campaign_id} is inactive"))
    if len({type(due) for due in dues.values()}) == 1:
        return {}
    kind = WorldTime if run.schedules.world_time(run.campaign_id) else WallTime
    left = Skip(f"campaign {run.campaign_id} runs on another clock now")
    return {position: left for position, due in dues.items() if not isinstance(due, kind)}
