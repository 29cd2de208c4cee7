"""Looks through all campaigns for those whose schedules are to be recalculated, and submits a job for each.

Most of the time nothing has changed, so many campaigns are read in one request, and compared with their schedules as
they are stored (changed_campaigns.py). What the main API shows decides, not what it has published: a message that was
lost costs nothing here. A campaign that is large, is paused, or cannot be read gets its own job, too.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final
from zlib import crc32

import structlog

from jobs.errors import JobError, MustWait, NotAuthorized, Outage
from jobs.main_api.model import Campaign, Settlement
from jobs.main_api.reading import READ_BATCH
from jobs.run import Run, Seen
from jobs.schedules.recalculation_kind import ReadResult, Recalculation, merge
from jobs.slices import Slice, SliceBudget, followup_for, rest_of, stop_at
from jobs.triggers.looking import find_to_trigger
from scheduler_project.outages import is_outage
from scheduler_project.text import is_id

log = structlog.get_logger(__name__)
AT_ONCE: Final = 50  #: campaigns of the first slice
CAMPAIGNS: Final = 200  #: of each slice after that, or more if they would be more than MOST_SLICES
MOST_SLICES: Final = 180
WINDOW: Final = timedelta(seconds=10)  #: between two slices: all of them take half an hour at most
LARGE: Final = 200  #: settlements; a campaign with more of them fills requests of its own
MOST_SETTLEMENTS: Final = 2000  #: of campaigns that are read together: no others are added after these


def look_through(run: Run, here: Slice, kind: Recalculation) -> dict[str, Any]:
    """Submit a job for each campaign of a slice that has changed, and one for the rest of the campaigns.

    Raises an error after which no other request would work either, unless some campaigns were done before.
    """
    budget = SliceBudget(kind.job_type, 1)
    if here.number == 0:
        began = run.schedules.begin_read()
        run.schedules.remember_all(run.api.campaigns(fresh=True), began)
    most = max(CAMPAIGNS, -(-run.schedules.count_campaigns() // MOST_SLICES)) if here.number else AT_ONCE
    found = run.schedules.find_campaigns(kind.entity_type, after=here.after[0] if here.after else "", most=most + 1)
    mine, paused = found[:most], frozenset(run.paused_campaigns())
    looked_at, changed, submitted = 0, 0, 0
    while looked_at < len(mine) and not (looked_at and budget.spent):
        # A first part whose attempts all end in its middle would never be done: each reads half as much.
        size = READ_BATCH if looked_at else max(1, READ_BATCH >> max(0, run.attempts - 1))
        part = _Part(run, kind, budget, mine[looked_at : looked_at + size])
        try:
            own = part.find_changed(paused)
        except MustWait:
            if not looked_at:
                raise
            break
        submitted += run.submit([followup_for(kind.job_type, one, _first_slice(here, one)) for one in sorted(own)])
        looked_at, changed = looked_at + len(part.campaign_ids), changed + len(own)
    counted = {"campaigns": looked_at, "unchanged": looked_at - changed, "submitted": submitted}
    if looked_at == len(found):
        return counted
    run.submit([rest_of(kind.job_type, "", here, due_at=here.due_at + WINDOW, after=(mine[looked_at - 1],))])
    return {**counted, "restFollows": True}


def _first_slice(here: Slice, campaign_id: str) -> Slice:
    """The first slice of a campaign. Its time in the window depends only on the ID, so that a retry gets the same."""
    later = WINDOW * (crc32(campaign_id.encode()) / 2**32) if here.number else timedelta(0)
    return Slice(root=here.root, number=0, due_at=here.due_at + later)


class _Part:
    """Some campaigns that are read together, in order; fewer than wanted if they have many settlements."""

    def __init__(self, run: Run, kind: Recalculation, budget: SliceBudget, campaign_ids: Sequence[str]) -> None:
        self.campaign_ids = campaign_ids
        self._run = run
        self._kind = kind
        self._budget = budget
        self._changed: set[str] = set()

    def find_changed(self, paused: Collection[str]) -> set[str]:
        """The IDs of those for which a recalculation would change something, or that it must read alone.

        So are those that are not read once the time is spent, and all of them after an unexpected error.
        """
        try:
            return self._find_changed(paused)
        except (MustWait, NotAuthorized, Outage):
            raise
        except Exception as error:  # somebody has edited the tables, or a bug: the other campaigns must go on
            if is_outage(error):
                raise
            log.exception("schedules.comparison_failed", campaigns=self.campaign_ids, next="each gets its own job")
            return set(self.campaign_ids)

    def _find_changed(self, paused: Collection[str]) -> set[str]:
        self._changed = set(paused) | self._run.schedules.find_failed(self._kind.job_type, self.campaign_ids)
        campaigns = self._read_campaigns([one for one in self.campaign_ids if one not in self._changed])
        self._changed |= self._run.schedules.find_moved(campaigns)
        self._changed |= find_to_trigger(self._run, self._left_of(campaigns))
        owned = self._read_settlements([campaign.id for campaign in self._left_of(campaigns)])
        found = self._look([one for own in owned.values() for one in own])
        seen = []
        for campaign in self._left_of(campaigns):
            parts = [found[one.id] for one in owned[campaign.id] if one.id in found]
            all_of = merge(parts)
            if all_of.failed or all_of.unreadable or len(parts) < len(owned[campaign.id]):
                self._changed.add(campaign.id)
            else:
                seen.append(Seen(campaign, all_of.wanted))
        self._changed |= self._run.schedules.find_changed(self._kind.entity_type, seen)
        return self._changed.intersection(self.campaign_ids)

    def _left_of(self, campaigns: Sequence[Campaign]) -> list[Campaign]:
        left = set(self.campaign_ids) - self._changed
        return [campaign for campaign in campaigns if campaign.id in left]

    def _read_campaigns(self, campaign_ids: Sequence[str]) -> list[Campaign]:
        """The active ones."""
        found = self._run.api.campaigns_by_id(campaign_ids)
        stop_at(found.values())
        active = [one for one in found.values() if isinstance(one, Campaign) and one.is_active]
        self._changed |= set(campaign_ids) - {campaign.id for campaign in active}
        return active

    def _read_settlements(self, campaign_ids: Sequence[str]) -> dict[str, list[Settlement]]:
        """By campaign, without those that turn out to be large or in part unreadable, or are not read."""
        campaign_of: dict[str, str] = {}
        listed = self._run.api.kingdoms_by_campaign(campaign_ids)
        stop_at(listed.values())
        for campaign_id, kingdoms in listed.items():
            if isinstance(kingdoms, JobError) or kingdoms.unreadable or not all(is_id(one.id) for one in kingdoms):
                self._changed.add(campaign_id)
            else:
                campaign_of |= {kingdom.id: campaign_id for kingdom in kingdoms}
        owned: dict[str, list[Settlement]] = {one: [] for one in campaign_ids}
        while left := [one for one, campaign_id in campaign_of.items() if campaign_id not in self._changed]:
            not_read = {campaign_of[one] for one in left}
            if self._budget.spent:
                self._changed |= not_read
                break
            if sum(len(owned[one]) for one in owned.keys() - self._changed) >= MOST_SETTLEMENTS:
                self._end_before(not_read)
                break
            self._take_settlements(left[:READ_BATCH], campaign_of, owned)
            for kingdom_id in left[:READ_BATCH]:
                del campaign_of[kingdom_id]
        left_ids = set(self.campaign_ids) - self._changed
        return {one: own for one, own in owned.items() if one in left_ids}

    def _end_before(self, not_read: Collection[str]) -> None:
        """Leave what follows the last campaign that was read to the next part; the first one is always done."""
        first = next(n for n, one in enumerate(self.campaign_ids) if one in not_read)
        self.campaign_ids = self.campaign_ids[: max(1, first)]
        self._changed |= set(not_read).intersection(self.campaign_ids)

    def _take_settlements(
        self, kingdom_ids: Sequence[str], campaign_of: dict[str, str], owned: dict[str, list[Settlement]]
    ) -> None:
        listed = self._run.api.settlements_by_kingdom(kingdom_ids)
        stop_at(listed.values())
        for kingdom_id, settlements in listed.items():
            campaign_id = campaign_of[kingdom_id]
            if isinstance(settlements, JobError) or settlements.unreadable:
                self._changed.add(campaign_id)
                continue
            owned[campaign_id] += settlements
            if len(owned[campaign_id]) > LARGE or not all(is_id(one.id) for one in settlements):
                self._changed.add(campaign_id)
                owned[campaign_id].clear()

    def _look(self, settlements: Sequence[Settlement]) -> dict[str, ReadResult]:
        found: dict[str, ReadResult] = {}
        for start in range(0, len(settlements), self._kind.part):
            if self._budget.spent:
                break
            part = self._kind.look(self._run, settlements[start : start + self._kind.part])
            stop_at(error for one in part.values() for error in one.failed.values())
            found |= part
        return found
