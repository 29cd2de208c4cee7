"""STRUCTURE_MAINTENANCE: apply due construction, maintenance and upgrade checks to a campaign's structures."""

from collections.abc import Sequence
from typing import Annotated, Any

from django.utils.translation import gettext, gettext_noop
from msgspec import Meta

from jobs.errors import JobError
from jobs.main_api.model import Structure
from jobs.registry import Answer, Item, Payload, batch_job_type
from jobs.run import Run
from jobs.schedules.apply import BATCH, apply_batch
from jobs.schedules.households import DueEntity, ResourcesInTime, resources_of
from jobs.schedules.rules import EntityAdvance, EntityRules
from jobs.world.change import Change
from jobs.world.maintenance import StructureEvent, maintain
from jobs.world.structures import advance_structure, check_upgrade, needs_resources
from scheduler_project.text import LONGEST_ID

NAME = "STRUCTURE_MAINTENANCE"
_TASKS = {
    StructureEvent.CONSTRUCTION_COMPLETE: gettext_noop("Complete construction of {}"),
    StructureEvent.MAINTENANCE_DUE: gettext_noop("Maintain {}"),
    StructureEvent.UPGRADE_AVAILABLE: gettext_noop("Check whether {} can be upgraded"),
}


class StructureMaintenance(Payload, frozen=True, kw_only=True):
    """Which structure, and what falls due."""

    structure_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
    event_type: StructureEvent

    def subject(self) -> str:
        return f"{self.structure_id}:{self.event_type}"

    def task(self) -> str:
        return gettext(_TASKS[self.event_type])


@batch_job_type(NAME, label=gettext_noop("Structure maintenance"), payload=StructureMaintenance, batch=BATCH)
def maintain_structures(items: Sequence[Item]) -> Sequence[Answer]:
    """Read the structures, apply the rules, and write back with the versions that were read."""
    return apply_batch(items, _STRUCTURES)


def _advance(run: Run, due: Sequence[DueEntity[Structure]]) -> dict[str, EntityAdvance | JobError]:
    """Upgrade checks need the settlement's resources at their time; the rest of a structure needs nothing else."""
    advanced: dict[str, EntityAdvance | JobError] = {}
    every = [(one, advance_structure(one.in_world, one.until)) for one in due]
    needing = {one.entity.id for one, after in every if needs_resources(after)}
    resources = ResourcesInTime(run, [one for one in due if one.entity.id in needing])
    for one, after in sorted(every, key=lambda pair: pair[1].check[1].at if pair[1].check else pair[0].until.at):
        errors: dict[str, JobError] = {}
        if after.check is not None:
            found = resources.at(one.entity, after.check[1]) if one.entity.id in needing else {}
            if isinstance(found, JobError):  # unreadable resources must not count as missing
                errors[StructureEvent.UPGRADE_AVAILABLE] = found
                after.next.pop(StructureEvent.UPGRADE_AVAILABLE, None)
            else:
                check_upgrade(after, found)
        advanced[one.entity.id] = EntityAdvance(after, errors)
    return advanced


def _by_hand(
    run: Run, structure: Structure, level: int, variables: dict[str, Any], event: str, occurrences: int
) -> Change:
    resources: Any = {}
    if event == StructureEvent.UPGRADE_AVAILABLE:
        settlement = run.api.settlements([structure.settlement_id])[structure.settlement_id]
        if isinstance(settlement, JobError):
            raise settlement
        resources = resources_of(settlement)
    return maintain(
        StructureEvent(event),
        level=level,
        variables=variables,
        settlement_resources=resources,
        occurrences=occurrences,
    )


_STRUCTURES: EntityRules[Structure] = EntityRules(
    job_type=NAME,
    events=tuple(StructureEvent),
    entity_of=lambda payload: payload.structure_id,
    event_of=lambda payload: payload.event_type.value,
    payload_of=lambda structure_id, event: {"structureId": structure_id, "eventType": event},
    read=lambda run, ids: run.api.structures(ids),
    barriers=lambda run, until: {},
    advance=_advance,
    by_hand=_by_hand,
    write=lambda run, updates: run.api.update_structures(updates, branch_id=run.api.main_branch(run.campaign_id).id),
)
