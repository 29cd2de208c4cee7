"""SETTLEMENT_GROWTH: apply the growth that is due to a campaign's settlements."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from msgspec import Meta

from jobs.errors import JobError
from jobs.main_api.listing import Listing
from jobs.main_api.model import Settlement, Structure
from jobs.registry import Answer, Item, Payload, batch_job_type
from jobs.run import Run
from jobs.schedules.apply import EntityRules, apply_batch
from jobs.world.change import Change
from jobs.world.growth import GrowthType, StructureStatus, grow, settlement_intervals
from jobs.world.variables import StructureVariables
from scheduler_project.text import LONGEST_ID

NAME = "SETTLEMENT_GROWTH"
_TASKS = {
    GrowthType.POPULATION_GROWTH: "Grow population of {}",
    GrowthType.RESOURCE_GENERATION: "Generate resources of {}",
    GrowthType.LEVEL_UP_CHECK: "Check whether {} levels up",
}


class SettlementGrowth(Payload, frozen=True, kw_only=True):
    """Which settlement, and how it grows."""

    settlement_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
    growth_type: GrowthType

    def subject(self) -> str:
        return f"{self.settlement_id}:{self.growth_type}"

    def task(self) -> str:
        return _TASKS[self.growth_type]


@batch_job_type(NAME, payload=SettlementGrowth, batch=50)
def grow_settlements(items: Sequence[Item]) -> Sequence[Answer]:
    """Read the settlements, apply the rules, and write back with the versions that were read."""
    return apply_batch(items, _SETTLEMENTS)


def _rules(
    run: Run, requested: Sequence[tuple[Settlement, Sequence[str]]]
) -> Callable[[Settlement, int, dict[str, Any], str, int], Change]:
    """Level-up checks need the settlement's structures."""
    checked = [settlement.id for settlement, events in requested if GrowthType.LEVEL_UP_CHECK in events]
    structures = run.api.structures_by_settlement(checked)

    def rule(settlement: Settlement, level: int, variables: dict[str, Any], event: str, occurrences: int) -> Change:
        growth = GrowthType(event)
        statuses = _statuses(structures[settlement.id]) if growth is GrowthType.LEVEL_UP_CHECK else []
        return grow(growth, level=level, variables=variables, structures=statuses, occurrences=occurrences)

    return rule


def _statuses(structures: Listing[Structure] | JobError) -> list[StructureStatus]:
    """Raises the error of the read: unreadable structures must not count as missing."""
    if isinstance(structures, JobError):
        raise structures
    statuses = []
    for structure in structures.whole():
        if not structure.archived_at:
            variables, _ = StructureVariables.read(structure.variables)
            operational = variables.is_operational and not variables.construction_duration_minutes
            statuses.append(StructureStatus(structure.type, operational))
    return statuses


_SETTLEMENTS: EntityRules[Settlement] = EntityRules(
    entity_of=lambda payload: payload.settlement_id,
    event_of=lambda payload: payload.growth_type.value,
    read=lambda run, ids: run.api.settlements(ids),
    rules=_rules,
    intervals=settlement_intervals,
    write=lambda run, updates: run.api.update_settlements(updates, branch_id=run.api.main_branch(run.campaign_id).id),
)
