"""RECALCULATE_SETTLEMENT_SCHEDULES: recalculate when a campaign's settlements grow next, and submit what is due."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop

from jobs.main_api.model import Settlement
from jobs.registry import Cron, job_type
from jobs.run import Run, WantedSchedule
from jobs.schedules.recalculate import recalculate
from jobs.schedules.recalculation_kind import ReadResult, Recalculation
from jobs.slices import SlicedPayload
from jobs.types import settlement_growth
from jobs.world.growth import settlement_intervals

NAME = "RECALCULATE_SETTLEMENT_SCHEDULES"


@job_type(
    NAME,
    label=gettext_noop("Recalculate settlement schedules"),
    payload=SlicedPayload,
    all_campaigns=True,
    cron=Cron("settlement-growth", "CRON_SETTLEMENT_GROWTH"),
    on_world_time=True,
    on_entity="Settlement",
)
def recalculate_settlements(payload: SlicedPayload, run: Run) -> dict[str, Any]:
    """Keep one schedule for each kind of growth of each settlement that is not archived."""
    return recalculate(payload, run, SETTLEMENTS)


def _look(_run: Run, settlements: Sequence[Settlement]) -> dict[str, ReadResult]:
    return {
        settlement.id: ReadResult(wanted=_list_wanted(settlement), read=[settlement.id]) for settlement in settlements
    }


def _list_wanted(settlement: Settlement) -> list[WantedSchedule]:
    if settlement.archived_at:
        return []
    return [
        WantedSchedule(
            entity_id=settlement.id,
            entity_name=settlement.name,
            event_type=event,
            interval=interval,
            variables=settlement.variables,
            job_type=settlement_growth.NAME,
            payload={"settlementId": settlement.id, "growthType": event.value},
            household=settlement.id,
        )
        for event, interval in settlement_intervals(settlement.level, settlement.variables).items()
    ]


SETTLEMENTS = Recalculation(
    job_type=NAME,
    entity_type="Settlement",
    settlements=5000,
    part=500,
    look=_look,
    find=lambda run, ids: run.api.settlements(ids),
)
