"""The jobs of a campaign: the latest result of each schedule row, stuck recalculations, and jobs at world times."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from jobs import service, stops
from jobs.errors import InvalidJob
from jobs.models import CampaignClock, Job, ScheduleRow
from jobs.models.job import unique_key_of
from jobs.registry import all_types, type_named
from jobs.service import Submission
from jobs.states import State
from jobs.stops import DueJob
from jobs.world.clock import parse_moment
from ops.reads.job import name_all

LISTED: Final = 20  #: jobs at world times
NEWEST: Final = 500  #: jobs of the campaign, and as many dead letters, that are read


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest job of each (type, subject), and the newest dead letter."""

    jobs: Mapping[tuple[str, str], Job]
    dead: Mapping[tuple[str, str], Job]
    since: UUID | None  #: the oldest job that was read; None: all were read

    def find_for(self, row: ScheduleRow) -> tuple[Job | None, Job | None]:
        """The newest job of a schedule row, and its dead letter unless a later job made up for it."""
        key = (row.job_type, _subject(row))
        last, died = self.jobs.get(key), self.dead.get(key)
        made_up = died is not None and ((last is not None and last.pk != died.pk) or _was_applied_since(row, died))
        return last, None if made_up else died

    def find_stuck_recalculations(self) -> dict[str, Job]:
        """By type of entity: the newest recalculation of its schedules, if it is dead or waits for a retry.

        What has come due in world time since then has no job yet, and gets none before a recalculation succeeds. A
        recalculation older than the newest jobs is not stuck: a later one created them.
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

    def find_queued_recalculations(self) -> dict[str, Job]:
        """By type of entity: the recalculation of its schedules that waits for a worker, and then makes due jobs."""
        found = {}
        for job in self.jobs.values():
            declared = all_types().get(job.type)
            if job.state == State.QUEUED and declared and declared.on_entity:
                found[declared.on_entity] = job
        return found


def find_newest(campaign_id: str) -> Newest:
    """Two queries, each by its own index."""
    jobs: Any = Job.objects.filter(campaign_id=campaign_id).order_by("-id").defer("payload", "result", "traceback")
    recent, dead = list(jobs[:NEWEST]), list(jobs.in_state(State.DEAD)[:NEWEST])
    return Newest(_by_subject(recent), _by_subject(dead), recent[-1].pk if len(recent) == NEWEST else None)


def _by_subject(jobs: list[Job]) -> dict[tuple[str, str], Job]:
    return {(job.type, job.subject): job for job in reversed(jobs)}


def _was_applied_since(row: ScheduleRow, died: Job) -> bool:
    """Whether a dead letter's work was applied later, by an older job than the newest ones or by other means."""
    if not (died.clock_due and row.anchor and died.clock == row.clock):
        return False
    return parse_moment(row.clock, row.anchor).at >= parse_moment(died.clock, died.clock_due).at


def _subject(row: ScheduleRow) -> str:
    try:
        return type_named(row.job_type).parse(row.payload).subject()
    except InvalidJob:  # written by a release with another schema
        return ""


def key_of_fired_job(row: ScheduleRow) -> str:
    """The unique key of the last job that the row fired (jobs/schedules/firing.py); empty if it cannot be told."""
    then = parse_moment(row.clock, row.fire_at) if row.fire_at else None
    subject = _subject(row)
    if then is None or not subject:
        return ""
    last = type(then)(then.at - row.interval)
    return unique_key_of(row.job_type, row.campaign_id, subject, last.isoformat())


def find_due(campaign_id: str) -> list[DueJob]:
    """The next jobs that are due at world times, in order; each with its title."""
    found = stops.find_due(campaign_id, most=LISTED)
    name_all([one.job for one in found], {})
    return found


def recalculate(clock: CampaignClock, *, actor: str, reason: str, now: datetime) -> list[Job]:
    """Submit the jobs that recalculate its schedules now."""
    submissions = [
        Submission(type=kind, campaign_id=clock.campaign_id, payload={}, subject=f"by-hand:{now:%Y-%m-%dT%H:%M:%S.%f}")
        for kind, declared in all_types().items()
        if declared.on_entity
    ]
    return [job for job, _ in service.submit_many(submissions, actor=actor, reason=reason)]
