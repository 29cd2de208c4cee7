"""SETTLEMENT_GROWTH: apply the growth that is due to a campaign's settlements."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

from django.utils.translation import gettext, gettext_noop
from msgspec import Meta

from jobs.errors import JobError, PermanentError
from jobs.main_api.model import Settlement
from jobs.registry import Answer, Item, Payload, batch_job_type
from jobs.run import Run
from jobs.schedules.apply import BATCH, apply_batch
from jobs.schedules.households import DueEntity, read_structures
from jobs.schedules.rules import EntityAdvance, EntityRules
from jobs.world.change import Change
from jobs.world.clock import Moment
from jobs.world.growth import GrowthType, StructureStatus, grow
from jobs.world.household import Household, advance_settlement
from jobs.world.settlements import needs_structures
from jobs.world.variables import StructureVariables
from scheduler_project.text import LONGEST_ID

NAME = "SETTLEMENT_GROWTH"
WITHOUT_LEVELS_FROM: Final = 3  #: the attempt that grows a town although its structures cannot be read
_LEVEL_UP = GrowthType.LEVEL_UP_CHECK
_TASKS = {
    GrowthType.POPULATION_GROWTH: gettext_noop("Grow population of {}"),
    GrowthType.RESOURCE_GENERATION: gettext_noop("Generate resources of {}"),
    GrowthType.LEVEL_UP_CHECK: gettext_noop("Check whether {} levels up"),
}


class SettlementGrowth(Payload, frozen=True, kw_only=True):
    """Which settlement, and how it grows."""

    settlement_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
    growth_type: GrowthType

    def subject(self) -> str:
        return f"{self.settlement_id}:{self.growth_type}"

    def task(self) -> str:
        return gettext(_TASKS[self.growth_type])


@batch_job_type(NAME, label=gettext_noop("Settlement growth"), payload=SettlementGrowth, batch=BATCH)
def grow_settlements(items: Sequence[Item]) -> Sequence[Answer]:
    """Read the settlements, apply the rules, and write back with the versions that were read."""
    return apply_batch(items, _SETTLEMENTS)


def _advance(run: Run, due: Sequence[DueEntity[Settlement]]) -> dict[str, EntityAdvance | JobError]:
    """Level-ups need the settlement's structures, if it requires any and can have the people.

    Structures that cannot be read must not count as missing: level-ups wait until they can. The rest waits for two
    attempts, since levels change its intervals, and then goes on.
    """
    needing = [one for one in due if needs_structures(one.in_world, one.until)]
    structures = read_structures(run, needing)
    advanced: dict[str, EntityAdvance | JobError] = {}
    for one in due:
        found = structures.get(one.entity.id, {})
        if isinstance(found, PermanentError) or (isinstance(found, JobError) and one.attempts >= WITHOUT_LEVELS_FROM):
            without = replace(one.in_world, anchors={e: a for e, a in one.in_world.anchors.items() if e != _LEVEL_UP})
            after = advance_settlement(Household(settlement=without), one.until)
            advanced[one.entity.id] = EntityAdvance(after, {_LEVEL_UP: found})
        elif isinstance(found, JobError):
            advanced[one.entity.id] = found
        else:
            household = Household(settlement=one.in_world, structures=found)
            advanced[one.entity.id] = EntityAdvance(advance_settlement(household, one.until))
    return advanced


def _by_hand(
    run: Run, settlement: Settlement, level: int, variables: dict[str, Any], event: str, occurrences: int
) -> Change:
    growth = GrowthType(event)
    statuses: list[StructureStatus] = []
    if growth is GrowthType.LEVEL_UP_CHECK:
        structures = run.api.structures_by_settlement([settlement.id])[settlement.id]
        if isinstance(structures, JobError):
            raise structures
        for structure in structures.whole():
            if not structure.archived_at:
                read, _ = StructureVariables.read(structure.variables)
                operational = read.is_operational and not read.construction_duration_minutes
                statuses.append(StructureStatus(structure.type, operational))
    return grow(growth, level=level, variables=variables, structures=statuses, occurrences=occurrences)


def _barriers(run: Run, until: Mapping[str, Moment]) -> Mapping[str, Moment]:
    """A settlement waits until its structures' due events are applied."""
    return run.schedules.barriers(list(until), max(until.values(), key=lambda moment: moment.at)) if until else {}


_SETTLEMENTS: EntityRules[Settlement] = EntityRules(
    job_type=NAME,
    events=tuple(GrowthType),
    entity_of=lambda payload: payload.settlement_id,
    event_of=lambda payload: payload.growth_type.value,
    payload_of=lambda settlement_id, event: {"settlementId": settlement_id, "growthType": event},
    read=lambda run, ids: run.api.settlements(ids),
    barriers=_barriers,
    advance=_advance,
    by_hand=_by_hand,
    write=lambda run, updates: run.api.update_settlements(updates, branch_id=run.api.main_branch(run.campaign_id).id),
)
