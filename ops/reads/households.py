"""What a settlement waits for in its own household."""

from collections.abc import Sequence
from datetime import datetime

from jobs.models import ScheduleRow
from jobs.schedules.waiting import find_due_structures
from jobs.world.clock import Moment, WallTime
from ops.humanize import label


def explain_waiting(rows: Sequence[ScheduleRow], reading: Moment, now: datetime) -> dict[str, str]:
    """By settlement, of those whose rows are given: which structure is applied first."""
    explained: dict[str, str] = {}
    for clock in {row.clock for row in rows if row.entity_type == "Settlement"}:
        read = WallTime(now) if clock == "wall" else reading
        settlements = {row.entity_id for row in rows if row.clock == clock and row.entity_type == "Settlement"}
        for settlement_id, due in find_due_structures(settlements, read).items():
            name = due.row.entity_name or due.row.entity_id
            explained[settlement_id] = (
                f"It waits for {label(due.row.event_type).lower()} of {name}, which is due before it: a town's "
                "structures are applied first."
            )
    return explained
