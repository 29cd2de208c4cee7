"""RECALCULATE_STRUCTURE_SCHEDULES: when the structures of a campaign fall due next, and what is due now."""

from typing import Any

from jobs.recalculation import recalculate
from jobs.registry import Cron, NoPayload, job_type
from jobs.run import Run, Wanted
from jobs.types import structure_maintenance
from jobs.world.maintenance import structure_intervals

NAME = "RECALCULATE_STRUCTURE_SCHEDULES"


@job_type(
    NAME,
    payload=NoPayload,
    all_campaigns=True,
    cron=Cron("structure-maintenance", "CRON_STRUCTURE_MAINTENANCE"),
    on_world_time=True,
    on_entity="Structure",
)
def recalculate_structures(payload: NoPayload, run: Run) -> dict[str, Any]:
    """One row for each event type that a structure can have due, in settlements that are not archived."""
    return recalculate(run, NAME, "Structure", _wanted)


def _wanted(run: Run) -> list[Wanted]:
    return [
        Wanted(
            entity_id=structure.id,
            entity_name=structure.name,
            event_type=event,
            interval=interval,
            variables=structure.variables,
            job_type=structure_maintenance.NAME,
            payload={"structureId": structure.id, "eventType": event.value},
        )
        for structure, settlement in run.api.structures_of(run.campaign_id)
        if not structure.archived_at and not settlement.archived_at
        for event, interval in structure_intervals(structure.level, structure.variables).items()
    ]
