"""What waits in campaigns: how much is overdue, queued, blocked and dead, and the places of jobs of schedule rows.

The cost does not grow with the backlog.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection
from redis import RedisError

from jobs.broker import depths, keys
from jobs.models import CampaignClock, Job, Pause, PauseKind
from jobs.state_counts import MOST_COUNTED
from jobs.states import ENDED, State
from jobs.waits import ERRORS
from jobs.world.clock import WallTime, WorldTime, sortable
from ops.reads.backlog import Backlog
from ops.reads.campaign import Row
from ops.reads.campaign_blockers import INACTIVE, PAUSED
from ops.reads.campaign_jobs import Newest, key_of_fired_job

#: One subquery for all campaigns: to plan one for each took a third of the page's time.
_COUNTED: Final = (
    "WITH c(id, world, wall) AS (VALUES {campaigns}) "  # noqa: S608 - our own constants
    "SELECT id, (SELECT COUNT(*) FROM (SELECT 1 FROM jobs_job "
    f"WHERE state = '{State.DEAD}' AND campaign_id = c.id LIMIT {MOST_COUNTED + 1}) AS dead), "
    "(SELECT COUNT(*) FROM (SELECT 1 FROM jobs_schedulerow WHERE campaign_id = c.id AND next_due > '' "
    "AND (clock = 'world' AND next_due <= c.world OR clock = 'wall' AND next_due <= c.wall) "
    f"LIMIT {MOST_COUNTED + 1}) AS overdue) FROM c"
)
_IS_WAIT: Final = " OR ".join(f"error LIKE '{name}:%'" for name in ERRORS)
_WAITING: Final = (  # as jobs.state_counts.HAVE_TO_WAIT
    "SELECT campaign_id, COUNT(*) FROM (SELECT campaign_id, waits_since, error FROM jobs_job "  # noqa: S608 - states, a limit and errors' names of ours
    f"WHERE state = '{State.RETRYING}' ORDER BY due_at LIMIT {MOST_COUNTED}) AS r "
    f"WHERE waits_since IS NOT NULL OR {_IS_WAIT} GROUP BY campaign_id"
)


_STOPPED: Final = (PAUSED, INACTIVE)  #: blockers during which no turn comes


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one campaign. `dead` and `overdue` are counted up to MOST_COUNTED + 1 (`limited_count`)."""

    overdue: int  #: schedule rows that are due
    queued: int | None  #: jobs that wait for a worker; None while Redis is away
    waits: int  #: jobs that have to wait (jobs/waits.py), of the MOST_COUNTED that are tried next in all campaigns
    dead: int
    paused: bool

    @property
    def blocked(self) -> int:
        """Jobs that do not run although they are due."""
        return self.waits + ((self.queued or 0) if self.paused else 0)


def read(clocks: Sequence[CampaignClock], paused: Sequence[Pause], now: datetime) -> dict[str, Counts]:
    """The counts by campaign; two queries."""
    if not clocks:
        return {}
    queued = _count_queued([clock.pk for clock in clocks])
    stopped = {pause.name for pause in paused if pause.kind == PauseKind.CAMPAIGN}
    wall, parameters = sortable(WallTime(now)), list[str]()
    for clock in clocks:
        world = sortable(WorldTime.parse(clock.world_time)) if clock.world_time else ""
        parameters += [clock.pk, world, wall]
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        waits = dict(cursor.fetchall())
        cursor.execute(_COUNTED.format(campaigns=", ".join(["(%s, %s, %s)"] * len(clocks))), parameters)
        rows = cursor.fetchall()
    return {
        pk: Counts(overdue, None if queued is None else queued[pk], waits.get(pk, 0), dead, pk in stopped)
        for pk, dead, overdue in rows
    }


def find_places(rows: Sequence[Row], jobs: Newest, now: datetime) -> None:
    """Set `job` of overdue rows whose job is older than `jobs`, or what makes it, and the `place` of what is queued.

    Three queries at most.
    """
    keys_of = {key: one for one in rows if one.overdue and one.job is None and (key := key_of_fired_job(one.row))}
    for job in Job.objects.filter(unique_key__in=keys_of).defer("payload", "result", "traceback") if keys_of else ():
        keys_of[job.unique_key].job = job
    backlog, makers = Backlog(keys.redis(), now), jobs.find_queued_recalculations()
    for one in rows:
        if one.overdue and (one.job is None or State(one.job.state) in ENDED):
            one.maker = makers.get(one.row.entity_type)
        if one.queued and not any(blocker.name in _STOPPED for blocker in one.blockers):
            one.place = backlog.find_place(one.queued).explain()


def _count_queued(campaigns: Sequence[str]) -> dict[str, int] | None:
    try:
        return depths.of_campaigns(campaigns, keys.redis())
    except RedisError:
        return None
