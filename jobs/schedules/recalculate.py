"""Recalculating the schedules of one campaign, or of all: what both RECALCULATE_ job types have in common.

For all campaigns: one job a campaign, in slices, due over a window. For one campaign: its settlements in slices, each
with the rows of its own. A row is removed because its entity was read and does not want it, or was read alone and is
gone; that an entity is missing from a list proves nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from zlib import crc32

import structlog
from django.utils import timezone

from jobs import counters
from jobs.errors import JobError, Skip
from jobs.main_api.client import READ_BATCH
from jobs.main_api.model import Campaign, Kingdom, Settlement, Structure
from jobs.run import Run, Wanted
from jobs.slices import Budget, Slice, SlicedPayload, current_slice, followup_for, rest_of, stop_at, sum_of
from scheduler_project.text import is_id

log = structlog.get_logger(__name__)
AT_ONCE: Final = 50  #: campaigns whose jobs are due at once
CAMPAIGNS: Final = 200  #: of one slice after that
WINDOW: Final = timedelta(seconds=10)  #: over which the jobs of such a slice are due
MOST_ABSENT: Final = 500  #: entities of one slice that are looked for because no list had them


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read of some settlements."""

    wanted: Sequence[Wanted]
    read: Sequence[str]
    """The entities that were read, whether or not they want rows."""
    failed: Mapping[str, JobError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalculation:
    """What each of the two job types has of its own."""

    job_type: str
    entity_type: str
    settlements: int
    """How many settlements a slice takes."""
    part: int
    """How many of them at a time: their entities are read, and their rows written in one transaction."""
    look: Callable[[Run, Sequence[Settlement]], Found]
    """Reads the entities of settlements."""
    find: Callable[[Run, Sequence[str]], Mapping[str, Settlement | Structure | JobError | None]]
    """Reads single entities, None: it is gone."""


def recalculate(payload: SlicedPayload, run: Run, kind: Recalculation) -> dict[str, Any]:
    """Make the schedule rows of a campaign what its entities ask for, and submit the jobs that are due.

    Without a campaign: one job for each campaign that is active or has rows. Raises Skip for a campaign that is gone
    or inactive, whose rows are removed; what could not be read is named in the error, after everything else was done.
    """
    here = current_slice(run, payload.slice)
    if not run.campaign_id:
        return _all_campaigns(run, here, kind)
    campaign = run.api.campaign(run.campaign_id)
    if campaign is None or not campaign.is_active:
        run.schedules.clear(run.campaign_id, kind.entity_type)
        raise Skip(f"campaign {run.campaign_id} is {'gone' if campaign is None else 'inactive'}")
    run.schedules.remember(campaign)
    return _Round(run, campaign, here, kind).go()


def _all_campaigns(run: Run, here: Slice, kind: Recalculation) -> dict[str, Any]:
    """Campaigns that have rows and are not among the active ones get a job too: it asks for them singly."""
    active = {c.id for c in run.api.campaigns(fresh=here.number == 0) if c.is_active}
    every = sorted(active | set(run.schedules.campaigns_with_rows(kind.entity_type)))
    left = [campaign_id for campaign_id in every if not here.after or campaign_id > here.after[0]]
    mine = left[: CAMPAIGNS if here.number else AT_ONCE]
    jobs = [followup_for(kind.job_type, campaign_id, _spread(here, campaign_id)) for campaign_id in mine]
    if len(left) > len(mine):
        at = here.at + WINDOW if here.at else timezone.now()
        jobs.append(rest_of(kind.job_type, "", here, at=at, after=(mine[-1],)))
    submitted = run.submit(jobs)
    return {"campaigns": len(mine), "submitted": submitted} | ({"restFollows": True} if len(jobs) > len(mine) else {})


def _spread(here: Slice, campaign_id: str) -> Slice:
    """The first slice of a campaign; the time within the window follows from its id, so that it stays the same."""
    due_at = here.due_at
    if here.at:
        due_at = here.at + WINDOW * (crc32(campaign_id.encode()) / 2**32)
    return Slice(root=here.root, number=0, due_at=due_at)


class _Round:
    """One slice of one campaign's settlements."""

    def __init__(self, run: Run, campaign: Campaign, here: Slice, kind: Recalculation) -> None:
        self._run = run
        self._campaign = campaign
        self._here = here
        self._kind = kind
        self._budget = Budget(kind.job_type, kind.settlements)
        self._failed: dict[str, JobError] = {}
        self._read: list[str] = []
        self._last: tuple[str, ...] = here.after
        self._counts = {"rows": 0, "due": 0, "submitted": 0}

    def go(self) -> dict[str, Any]:
        """Do the slice, and submit the job for the rest."""
        following: tuple[str, ...] | None = None
        for part, last in self._parts():
            self._last = last
            self._sync(part)
            self._budget.spend(len(part))
            if self._budget.spent:
                following = self._last
                break
        else:
            following = self._remove_absent()
        if following is not None:
            self._hand_on(following)
        if self._failed:
            raise sum_of(self._failed, done=f"{self._counts['rows']} rows")
        return {**self._counts, **({"restFollows": True} if following is not None else {})}

    def _parts(self) -> Iterator[tuple[Sequence[Settlement], tuple[str, str]]]:
        """The settlements from where the slice begins, some at a time, with the ids of the last and its kingdom."""
        found = self._run.api.kingdoms(self._campaign.id)
        self._failed |= found.failures("kingdom")
        kingdoms = sorted(kingdom.id for kingdom in found if _is_usable(kingdom))
        after = self._here.after
        left = [kingdom_id for kingdom_id in kingdoms if not after or kingdom_id >= after[0]]
        for start in range(0, len(left), READ_BATCH):
            settlements = self._settlements(left[start : start + READ_BATCH])
            for first in range(0, len(settlements), self._kind.part):
                part = settlements[first : first + self._kind.part]
                yield [settlement for _, settlement in part], (part[-1][0], part[-1][1].id)

    def _settlements(self, kingdom_ids: Sequence[str]) -> list[tuple[str, Settlement]]:
        """Those that no earlier slice had, each after the id of its kingdom, in the order of both ids."""
        found = self._run.api.settlements_by_kingdom(kingdom_ids)
        stop_at(found.values())
        every: list[tuple[str, Settlement]] = []
        for kingdom_id, settlements in found.items():
            if isinstance(settlements, JobError):
                self._failed[f"kingdom {kingdom_id}"] = settlements
            else:
                self._failed |= settlements.failures("settlement")
                own = ((kingdom_id, s) for s in settlements if _is_usable(s))
                every += [(k, s) for k, s in own if (k, s.id) > self._here.after]
        return sorted(every, key=lambda one: (one[0], one[1].id))

    def _sync(self, part: Sequence[Settlement]) -> None:
        found = self._kind.look(self._run, part)
        stop_at(found.failed.values())
        self._failed |= found.failed
        due = self._run.schedules.sync(self._campaign, self._kind.entity_type, found.wanted, read=found.read)
        self._read += found.read
        self._counts["rows"] += len(found.wanted)
        self._counts["due"] += len(due)
        self._counts["submitted"] += self._run.submit(due)

    def _hand_on(self, after: tuple[str, ...]) -> None:
        """What was read is noted first, for the last slice, which looks for what nobody has read."""
        at = self._here.at or timezone.now()
        self._run.schedules.confirm(self._campaign.id, self._kind.entity_type, self._read)
        whole = self._here.whole and not self._failed
        self._run.submit([rest_of(self._kind.job_type, self._campaign.id, self._here, at=at, after=after, whole=whole)])

    def _remove_absent(self) -> tuple[str, ...] | None:
        """Remove the rows of entities that no list had, and that are gone; where the next slice goes on, if it does.

        Not where something could not be read: they may have been in that.
        """
        if self._failed or not self._here.whole:
            return None
        absent = self._absent()
        if not absent:
            return None
        found = self._kind.find(self._run, absent)
        stop_at(found.values())
        self._run.schedules.forget(*(i for i, entity in found.items() if _is_gone(entity)))
        self._failed |= {i: error for i, error in found.items() if isinstance(error, JobError)}
        self._read += absent
        return self._last if len(absent) == MOST_ABSENT and not self._failed else None

    def _absent(self) -> list[str]:
        schedules, names = self._run.schedules, (self._campaign.id, self._kind.entity_type)
        if self._here.at is None:
            return schedules.find_absent(*names, self._read, most=MOST_ABSENT)
        schedules.confirm(*names, self._read)
        return schedules.find_unconfirmed(*names, self._here.at, most=MOST_ABSENT)


def _is_usable(entity: Kingdom | Settlement) -> bool:
    """Whether its id can be kept; if not it alone is left out, and named."""
    usable_id = is_id(entity.id)
    if not usable_id:
        counters.add("unusable_texts", type(entity).__name__)
        log.warning("schedules.id_rejected", entity_id=repr(entity.id)[:100], next="it is left alone")
    return usable_id


def _is_gone(entity: Settlement | Structure | JobError | None) -> bool:
    return entity is None or (not isinstance(entity, JobError) and bool(entity.archived_at))
