"""RECALCULATE_STRUCTURE_SCHEDULES: recalculate when a campaign's structures are next due, and submit what is due."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop

from jobs.errors import JobError
from jobs.main_api.listing import Listing
from jobs.main_api.model import Settlement, Structure
from jobs.registry import Cron, job_type
from jobs.run import Run, WantedSchedule
from jobs.schedules.recalculate import recalculate
from jobs.schedules.recalculation_kind import ReadResult, Recalculation
from jobs.slices import SlicedPayload
from jobs.types import structure_maintenance
from jobs.world.maintenance import structure_intervals

NAME = "RECALCULATE_STRUCTURE_SCHEDULES"


@job_type(
    NAME,
    label=gettext_noop("Recalculate structure schedules"),
    payload=SlicedPayload,
    all_campaigns=True,
    cron=Cron("structure-maintenance", "CRON_STRUCTURE_MAINTENANCE"),
    on_world_time=True,
    on_entity="Structure",
)
def recalculate_structures(payload: SlicedPayload, run: Run) -> dict[str, Any]:
    """Keep one schedule for each event type of each structure, unless it or its settlement is archived."""
    return recalculate(payload, run, STRUCTURES)


def _look(run: Run, settlements: Sequence[Settlement]) -> dict[str, ReadResult]:
    archived = {settlement.id: bool(settlement.archived_at) for settlement in settlements}
    listed = run.api.structures_by_settlement(list(archived))
    return {one: _make_result(one, structures, archived=archived[one]) for one, structures in listed.items()}


def _make_result(settlement_id: str, structures: Listing[Structure] | JobError, *, archived: bool) -> ReadResult:
    if isinstance(structures, JobError):
        failed = {f"settlement {settlement_id}": structures}
        return ReadResult(wanted=[], read=[], failed=failed, unreadable=[settlement_id])
    return ReadResult(
        wanted=[want for one in structures if not one.archived_at and not archived for want in _list_wanted(one)],
        read=[structure.id for structure in structures],
        failed=structures.failures("structure"),
        unreadable=[one.id for one in structures.unreadable if one.id],
    )


def _list_wanted(structure: Structure) -> list[WantedSchedule]:
    return [
        WantedSchedule(
            entity_id=structure.id,
            entity_name=structure.name,
            event_type=event,
            interval=interval,
            variables=structure.variables,
            job_type=structure_maintenance.NAME,
            payload={"structureId": structure.id, "eventType": event.value},
            household=structure.settlement_id,
        )
        for event, interval in structure_intervals(structure.level, structure.variables).items()
    ]


STRUCTURES = Recalculation(
    job_type=NAME,
    entity_type="Structure",
    settlements=1500,
    part=100,
    look=_look,
    find=lambda run, ids: run.api.structures(ids),
)
