"""RECALCULATE_SETTLEMENT_SCHEDULES: when the settlements of a campaign grow next, and what is due now."""

from typing import Any

from jobs.recalculation import recalculate
from jobs.registry import Cron, NoPayload, job_type
from jobs.run import Run, Wanted
from jobs.types import settlement_growth
from jobs.world.growth import settlement_intervals

NAME = "RECALCULATE_SETTLEMENT_SCHEDULES"


@job_type(
    NAME,
    payload=NoPayload,
    all_campaigns=True,
    cron=Cron("settlement-growth", "CRON_SETTLEMENT_GROWTH"),
    on_world_time=True,
    on_entity="Settlement",
)
def recalculate_settlements(payload: NoPayload, run: Run) -> dict[str, Any]:
    """One row for each kind of growth of each settlement that is not archived."""
    return recalculate(run, NAME, "Settlement", _wanted)


def _wanted(run: Run) -> list[Wanted]:
    return [
        Wanted(
            entity_id=settlement.id,
            entity_name=settlement.name,
            event_type=event,
            interval=interval,
            variables=settlement.variables,
            job_type=settlement_growth.NAME,
            payload={"settlementId": settlement.id, "growthType": event.value},
        )
        for settlement, _kingdom in run.api.settlements_of(run.campaign_id)
        if not settlement.archived_at
        for event, interval in settlement_intervals(settlement.level, settlement.variables).items()
    ]
