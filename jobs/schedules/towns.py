"""Reads a campaign's settlements with their structures, and writes nothing: what a forecast starts from."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from jobs import stops
from jobs.errors import JobError, NotFound, TransientError
from jobs.main_api.client import MainApi
from jobs.main_api.listing import Listing
from jobs.main_api.model import Campaign, Event, Settlement, Structure
from jobs.main_api.reading import READ_BATCH
from jobs.schedules.clocks import reading_of
from jobs.schedules.households import as_world_entity, is_stale
from jobs.schedules.store import DatabaseSchedules
from jobs.slices import stop_at
from jobs.triggers.looking import Coming, find_coming, split
from jobs.triggers.open_events import read_open
from jobs.triggers.store import DatabaseTriggers
from jobs.world.clock import Moment, WorldTime
from jobs.world.growth import GrowthType
from jobs.world.household import Household
from jobs.world.maintenance import StructureEvent

E_ = TypeVar("E_", Settlement, Structure)
MOST_JOBS: Final = 1000  #: at world times, of one campaign
WITHIN_S: Final = 20.0  #: for reading a campaign: somebody waits for it
_Anchors = Mapping[str, Mapping[str, Moment]]


@dataclass(frozen=True, slots=True)
class Town:
    """A settlement with its structures, as they were read and as the rules of the world take them."""

    settlement: Settlement
    structures: Mapping[str, Structure]
    household: Household[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignWorld:
    """A campaign as it stands."""

    campaign: Campaign
    now: Moment
    towns: Sequence[Town] = ()
    events: Sequence[Event] = ()
    """Those that are not completed and expire."""
    coming: Sequence[Coming] = ()
    """Those that are triggered, as far as they have no job yet."""
    knows_events: bool = True
    """False: `events` has only those that are overdue, for the main API lists no others."""
    jobs: Sequence[stops.DueJob] = ()
    """Those that are due at a world time, the first MOST_JOBS; what they change is not known before."""
    failed: Mapping[str, JobError] = field(default_factory=dict)
    """What could not be read."""


def read_world(api: MainApi, campaign_id: str, *, town: str = "", within_s: float = WITHIN_S) -> CampaignWorld:
    """Read a campaign, and its settlements with the ID or name `town`; an inactive one has none.

    Raises NotFound if there is no such campaign, TransientError if it takes too long, and the main API's errors.
    """
    campaign = api.campaign(campaign_id)
    if campaign is None:
        raise NotFound(f"there is no campaign {campaign_id}")
    now = reading_of(campaign.current_world_time)
    if not campaign.is_active:
        return CampaignWorld(campaign=campaign, now=now)
    reading = _Reading(api, now, time.monotonic() + within_s)
    towns = reading.towns(campaign_id, town.strip().casefold())
    if not isinstance(now, WorldTime):  # events and stops have world times
        return CampaignWorld(campaign=campaign, now=now, towns=towns, failed=reading.failed)
    events, knows_events = ((), True) if town else reading.events(campaign_id)
    events, triggered = split(events, DatabaseTriggers())
    return CampaignWorld(
        campaign=campaign,
        now=now,
        towns=towns,
        events=events,
        coming=find_coming(triggered, DatabaseTriggers()),
        knows_events=knows_events,
        jobs=stops.find_due(campaign_id, most=MOST_JOBS),
        failed=reading.failed,
    )


class _Reading:
    def __init__(self, api: MainApi, now: Moment, deadline: float) -> None:
        self.failed: dict[str, JobError] = {}
        self._api = api
        self._now = now
        self._deadline = deadline
        self._schedules = DatabaseSchedules()

    def towns(self, campaign_id: str, search: str) -> list[Town]:
        """Sorted by name and ID."""
        settlements = [one for one in self._settlements(campaign_id) if _matches(one, search)]
        structures = self._structures([one.id for one in settlements])
        settlements = [one for one in settlements if one.id in structures]
        every = [one for own in structures.values() for one in own]
        anchors = self._schedules.anchors([one.id for one in settlements] + [one.id for one in every])
        fresh_settlements = self._fresh("settlement", settlements, anchors, self._api.settlements)
        fresh_structures = self._fresh("structure", every, anchors, self._api.structures)
        towns = [
            self._town(settlement, [fresh_structures[i.id] for i in own if i.id in fresh_structures], anchors)
            for settlement_id, own in structures.items()
            if (settlement := fresh_settlements.get(settlement_id)) is not None
            and not any(f"structure {i.id}" in self.failed for i in own)
        ]
        return sorted(towns, key=lambda one: (one.settlement.name, one.settlement.id))

    def events(self, campaign_id: str) -> tuple[Sequence[Event], bool]:
        try:
            found = read_open(self._api, campaign_id)
        except JobError as error:
            self.failed["events"] = error
            return (), True
        self.failed |= found.events.failures("event")
        return found.events, found.is_whole

    def _settlements(self, campaign_id: str) -> list[Settlement]:
        kingdoms = self._api.kingdoms(campaign_id)
        self.failed |= kingdoms.failures("kingdom")
        found: dict[str, Settlement] = {}
        for batch in self._batches([kingdom.id for kingdom in kingdoms]):
            for kingdom_id, listed in self._lists("kingdom", self._api.settlements_by_kingdom(batch)):
                self.failed |= listed.failures(f"kingdom {kingdom_id}: settlement")
                found |= {one.id: one for one in listed if not one.archived_at}
        return list(found.values())

    def _structures(self, settlement_ids: Sequence[str]) -> dict[str, list[Structure]]:
        """By settlement, without those with an unreadable structure: it might decide on level-ups."""
        found: dict[str, list[Structure]] = {}
        for batch in self._batches(settlement_ids):
            for settlement_id, listed in self._lists("settlement", self._api.structures_by_settlement(batch)):
                if listed.unreadable:
                    self.failed |= listed.failures(f"settlement {settlement_id}: structure")
                else:
                    found[settlement_id] = [one for one in listed if not one.archived_at]
        return found

    def _fresh(
        self,
        kind: str,
        listed: Sequence[E_],
        anchors: _Anchors,
        read: Callable[[Sequence[str]], Mapping[str, E_ | JobError | None]],
    ) -> dict[str, E_]:
        """Read those again that a list shows as they were before our last update; it may come from a cache."""
        found = {one.id: one for one in listed}
        for batch in self._batches([one.id for one in listed if is_stale(one, anchors.get(one.id, {}))]):
            for entity_id, one in read(batch).items():
                if isinstance(one, JobError):
                    self.failed[f"{kind} {entity_id}"] = one
                if isinstance(one, JobError) or one is None or one.archived_at:
                    del found[entity_id]
                else:
                    found[entity_id] = one
        return found

    def _town(self, settlement: Settlement, structures: Sequence[Structure], anchors: _Anchors) -> Town:
        household: Household[Any] = Household(
            settlement=as_world_entity(settlement, GrowthType, anchors.get(settlement.id, {}), self._now),
            structures={
                one.id: as_world_entity(one, StructureEvent, anchors.get(one.id, {}), self._now) for one in structures
            },
        )
        return Town(settlement, {one.id: one for one in structures}, household)

    def _lists(self, kind: str, found: Mapping[str, Listing[E_] | JobError]) -> Iterator[tuple[str, Listing[E_]]]:
        stop_at(found.values())
        errors = [one for one in found.values() if isinstance(one, TransientError)]
        if errors and len(errors) == len(found):  # it is away
            raise errors[0]
        for key, listed in found.items():
            if isinstance(listed, JobError):
                self.failed[f"{kind} {key}"] = listed
            else:
                yield key, listed

    def _batches(self, ids: Sequence[str]) -> Iterator[list[str]]:
        for start in range(0, len(ids), READ_BATCH):
            if time.monotonic() > self._deadline:
                raise TransientError(f"the main API is too slow: the campaign was not read within {WITHIN_S:.0f} s")
            yield list(ids[start : start + READ_BATCH])


def _matches(settlement: Settlement, search: str) -> bool:
    return not search or search == settlement.id.casefold() or search in settlement.name.casefold()
