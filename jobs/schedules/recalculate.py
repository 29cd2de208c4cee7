"""Recalculates the schedules of one campaign; shared by both RECALCULATE_ job types.

A job for all campaigns looks for those that have changed (all_campaigns.py). For one campaign, the settlements are
processed in slices. A schedule is only removed if its entity was read and does not want it, or was read individually
and is gone; that an entity is missing from a list proves nothing.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.utils import timezone

from jobs import counters
from jobs.errors import JobError, MustWait, Skip
from jobs.main_api.model import Campaign, Kingdom, Settlement, Structure
from jobs.main_api.reading import READ_BATCH
from jobs.run import Run
from jobs.schedules.all_campaigns import look_through
from jobs.schedules.recalculation_kind import Recalculation, merge
from jobs.schedules.submitting import submit_due
from jobs.slices import Slice, SliceBudget, SlicedPayload, current_slice, rest_of, stop_at, sum_of
from jobs.triggers.looking import submit_triggers
from scheduler_project.text import is_id

log = structlog.get_logger(__name__)
LOOKS: Final = 6  #: at a campaign that shows no world time any more, before that is believed
LOOK_AGAIN: Final = timedelta(seconds=10)
MOST_ABSENT: Final = 500  #: entities per slice that are read individually because no list had them


def recalculate(payload: SlicedPayload, run: Run, kind: Recalculation) -> dict[str, Any]:
    """Bring a campaign's schedules up to date with its entities, and submit the jobs that are due.

    Without a campaign, submit a job for each campaign that has changed. Raises Skip for a campaign that is gone, whose
    schedules are removed, or inactive, whose schedules stay as they are. If something could not be read, everything
    else is done first and the error names it.
    """
    here = current_slice(run, payload.slice)
    if not run.campaign_id:
        return look_through(run, here, kind)
    began = run.schedules.begin_read()
    campaign = run.api.campaign(run.campaign_id)
    if campaign is None:
        run.schedules.clear(run.campaign_id, kind.entity_type, began)
        raise Skip(f"campaign {run.campaign_id} is gone")
    if not campaign.is_active:
        run.schedules.deactivate(run.campaign_id, kind.entity_type, began)
        raise Skip(f"campaign {run.campaign_id} is inactive")
    _check_clock(run, campaign)
    if here.number == 0:
        submit_triggers(run, campaign)
    run.schedules.remember(campaign, began)
    return _CampaignSlice(run, campaign, here, kind).process()


def _check_clock(run: Run, campaign: Campaign) -> None:
    """Wait if the campaign has lost its world time: one odd read must not begin its constructions anew."""
    if not campaign.current_world_time and run.attempts <= LOOKS and run.schedules.world_time(campaign.id):
        raise MustWait(f"{campaign.id} shows no world time any more: it is read again", timezone.now() + LOOK_AGAIN)


class _CampaignSlice:
    """One slice of one campaign's settlements."""

    def __init__(self, run: Run, campaign: Campaign, here: Slice, kind: Recalculation) -> None:
        self._run = run
        self._campaign = campaign
        self._here = here
        self._kind = kind
        self._budget = SliceBudget(kind.job_type, kind.settlements)
        self._failed: dict[str, JobError] = {}
        self._read: list[str] = []
        self._last: tuple[str, ...] = here.after
        self._counts = {"rows": 0, "due": 0, "submitted": 0}

    def process(self) -> dict[str, Any]:
        """Process the slice and submit a job for the rest."""
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
        """Yield the settlements from the slice's start in parts, each with its last kingdom and settlement IDs."""
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
        """Settlements that no earlier slice had, as (kingdom ID, settlement), sorted by both IDs."""
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
        found = merge(self._kind.look(self._run, part).values())
        stop_at(found.failed.values())
        self._failed |= found.failed
        schedules = self._run.schedules
        with transaction.atomic():
            due = schedules.sync(self._campaign, self._kind.entity_type, found.wanted, read=found.read)
            self._counts["submitted"] += submit_due(self._run.submit, due)
        self._read += found.read
        self._counts["rows"] += len(found.wanted)
        self._counts["due"] += len(due)
        if found.unreadable:
            with transaction.atomic():
                released = schedules.set_aside(found.unreadable, self._campaign)
                self._counts["submitted"] += submit_due(self._run.submit, released)

    def _hand_on(self, after: tuple[str, ...]) -> None:
        """Submit the next slice, after confirming what was read: the last slice looks for what no slice has read."""
        at = self._here.at or timezone.now()
        self._run.schedules.confirm(self._campaign.id, self._kind.entity_type, self._read)
        whole = self._here.whole and not self._failed
        self._run.submit([rest_of(self._kind.job_type, self._campaign.id, self._here, at=at, after=after, whole=whole)])

    def _remove_absent(self) -> tuple[str, ...] | None:
        """Remove the schedules of entities that no list had and that are gone. Returns where the next slice starts.

        Does nothing if anything could not be read, since the entities may be part of that.
        """
        if self._failed or not self._here.whole:
            return None
        absent = self._absent()
        if not absent:
            return None
        found = self._kind.find(self._run, absent)
        stop_at(found.values())
        with transaction.atomic():
            gone = [i for i, entity in found.items() if _is_gone(entity)]
            submit_due(self._run.submit, self._run.schedules.forget(*gone))
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
    """Whether the entity's ID can be stored; if not, log it and leave out only this one."""
    usable_id = is_id(entity.id)
    if not usable_id:
        counters.add("unusable_texts", type(entity).__name__)
        log.warning("schedules.id_rejected", entity_id=repr(entity.id)[:100], next="it is skipped")
    return usable_id


def _is_gone(entity: Settlement | Structure | JobError | None) -> bool:
    return entity is None or (not isinstance(entity, JobError) and bool(entity.archived_at))
