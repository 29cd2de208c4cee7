"""What a settlement waits for in its own household."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.translation import gettext

from jobs.models import ScheduleRow
from jobs.schedules.waiting import find_due_structures
from jobs.world.clock import Moment, WallTime
from ops.labels import label_within


def explain_waiting(rows: Sequence[ScheduleRow], reading: Moment, now: datetime) -> dict[str, str]:
    """By settlement, of those whose rows are given: which structure is applied first."""
    explained: dict[str, str] = {}
    for clock in {row.clock for row in rows if row.entity_type == "Settlement"}:
        read = WallTime(now) if clock == "wall" else reading
        settlements = {row.entity_id for row in rows if row.clock == clock and row.entity_type == "Settlement"}
        for settlement_id, due in find_due_structures(settlements, read).items():
            name = due.row.entity_name or due.row.entity_id
            text = gettext(
                "It waits for %(event)s of %(structure)s, which is due first: a town's structures are applied "
                "before it."
            )
            explained[settlement_id] = text % {"event": label_within(due.row.event_type), "structure": name}
    return explained
