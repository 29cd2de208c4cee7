"""The newest jobs of a campaign: what its schedule rows came to last, and whether its schedules are recalculated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from jobs.errors import InvalidJob
from jobs.models import Job, ScheduleRow
from jobs.registry import all_types, type_named
from jobs.schedules.store import parse_moment
from jobs.states import State

NEWEST: Final = 500  #: jobs of the campaign, and as many dead letters, that are looked at


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest job of each (type, subject), and the newest dead letter."""

    jobs: Mapping[tuple[str, str], Job]
    dead: Mapping[tuple[str, str], Job]
    since: UUID | None  #: the oldest job that was looked at; None: all were

    def find_for(self, row: ScheduleRow) -> tuple[Job | None, Job | None]:
        """The newest job of a schedule row, and the dead letter that nothing has made up for."""
        key = (row.job_type, _subject(row))
        last, died = self.jobs.get(key), self.dead.get(key)
        made_up = died is not None and ((last is not None and last.pk != died.pk) or _was_applied_since(row, died))
        return last, None if made_up else died

    def find_stuck_recalculations(self) -> dict[str, Job]:
        """By the type of entity the newest recalculation of its schedules, where that died or waits for a retry.

        What has come due in world time since then has no job yet, and gets none before one has succeeded. So one that
        is older than the newest jobs has been made up for: they came from a later one.
        """
        found, every_job = {}, [*self.jobs.items(), *self.dead.items()]
        for name, declared in all_types().items():
            if declared.on_entity:
                every = [job for (kind, _), job in every_job if kind == name]
                last = max(every, key=lambda job: job.pk, default=None)
                if last and self.since and last.pk < self.since:
                    continue
                if last and last.state in (State.DEAD, State.RETRYING):
                    found[declared.on_entity] = last
        return found


def find_newest(campaign_id: str) -> Newest:
    """Two queries, each along an index of its own."""
    jobs: Any = Job.objects.filter(campaign_id=campaign_id).order_by("-id").defer("payload", "result", "traceback")
    recent, dead = list(jobs[:NEWEST]), list(jobs.in_state(State.DEAD)[:NEWEST])
    return Newest(_by_subject(recent), _by_subject(dead), recent[-1].pk if len(recent) == NEWEST else None)


def _by_subject(jobs: list[Job]) -> dict[tuple[str, str], Job]:
    return {(job.type, job.subject): job for job in reversed(jobs)}


def _was_applied_since(row: ScheduleRow, died: Job) -> bool:
    """Whether what a dead letter was to apply has been: by a job that may be older than the newest, or another hand."""
    if not (died.clock_due and row.anchor and died.clock == row.clock):
        return False
    return parse_moment(row.clock, row.anchor).at >= parse_moment(died.clock, died.clock_due).at


def _subject(row: ScheduleRow) -> str:
    try:
        return type_named(row.job_type).parse(row.payload).subject()
    except InvalidJob:  # a row of a release that knew another schema
        return ""
