"""STRUCTURE_MAINTENANCE: apply due construction, maintenance and upgrade checks to a campaign's structures."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from msgspec import Meta

from jobs.errors import JobError
from jobs.main_api.model import Settlement, Structure
from jobs.registry import Answer, Item, Payload, batch_job_type
from jobs.run import Run
from jobs.schedules.apply import EntityRules, apply_batch
from jobs.world.change import Change
from jobs.world.maintenance import StructureEvent, maintain, structure_intervals
from scheduler_project.text import LONGEST_ID

NAME = "STRUCTURE_MAINTENANCE"
_TASKS = {
    StructureEvent.CONSTRUCTION_COMPLETE: "Complete construction of {}",
    StructureEvent.MAINTENANCE_DUE: "Maintain {}",
    StructureEvent.UPGRADE_AVAILABLE: "Check whether {} can be upgraded",
}


class StructureMaintenance(Payload, frozen=True, kw_only=True):
    """Which structure, and what falls due."""

    structure_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
    event_type: StructureEvent

    def subject(self) -> str:
        return f"{self.structure_id}:{self.event_type}"

    def task(self) -> str:
        return _TASKS[self.event_type]


@batch_job_type(NAME, payload=StructureMaintenance, batch=50)
def maintain_structures(items: Sequence[Item]) -> Sequence[Answer]:
    """Read the structures, apply the rules, and write back with the versions that were read."""
    return apply_batch(items, _STRUCTURES)


def _rules(
    run: Run, requested: Sequence[tuple[Structure, Sequence[str]]]
) -> Callable[[Structure, int, dict[str, Any], str, int], Change]:
    """Upgrade checks need the settlement's resources."""
    checked = {structure.settlement_id for structure, events in requested if StructureEvent.UPGRADE_AVAILABLE in events}
    settlements = run.api.settlements(sorted(checked))

    def rule(structure: Structure, level: int, variables: dict[str, Any], event: str, occurrences: int) -> Change:
        upgrade = event == StructureEvent.UPGRADE_AVAILABLE
        return maintain(
            StructureEvent(event),
            level=level,
            variables=variables,
            settlement_resources=_resources(settlements[structure.settlement_id]) if upgrade else {},
            occurrences=occurrences,
        )

    return rule


def _resources(settlement: Settlement | JobError | None) -> dict[str, Any]:
    """Raises the error of the read: unreadable resources must not count as missing."""
    if isinstance(settlement, JobError):
        raise settlement
    resources = settlement.variables.get("resources") if settlement and isinstance(settlement.variables, dict) else None
    return resources if isinstance(resources, dict) else {}


_STRUCTURES: EntityRules[Structure] = EntityRules(
    entity_of=lambda payload: payload.structure_id,
    event_of=lambda payload: payload.event_type.value,
    read=lambda run, ids: run.api.structures(ids),
    rules=_rules,
    intervals=structure_intervals,
    write=lambda run, updates: run.api.update_structures(updates, branch_id=run.api.main_branch(run.campaign_id).id),
)
