"""The newest jobs of a campaign: what its schedule rows came to last, and whether its schedules are recalculated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jobs.models import Job
from jobs.registry import all_types
from jobs.states import State

NEWEST: Final = 500  #: jobs of the campaign, and as many dead letters, that are looked at


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest job of each (type, subject), and the newest dead letter."""

    jobs: Mapping[tuple[str, str], Job]
    dead: Mapping[tuple[str, str], Job]

    def of(self, job_type: str, subject: str) -> tuple[Job | None, Job | None]:
        """The newest job, and the dead letter that no later job has made up for."""
        last, died = self.jobs.get((job_type, subject)), self.dead.get((job_type, subject))
        return last, died if died and (last is None or last.pk == died.pk) else None

    def stuck_recalculations(self) -> dict[str, Job]:
        """By the type of entity the newest recalculation of its schedules, where that died or waits for a retry.

        What has come due in world time since then has no job yet, and gets none before one has succeeded.
        """
        found = {}
        for name, declared in all_types().items():
            if declared.on_entity:
                every = [job for (kind, _), job in [*self.jobs.items(), *self.dead.items()] if kind == name]
                last = max(every, key=lambda job: job.pk, default=None)
                if last and last.state in (State.DEAD, State.RETRYING):
                    found[declared.on_entity] = last
        return found


def newest(campaign_id: str) -> Newest:
    """Two queries, each along an index of its own."""
    jobs: Any = Job.objects.filter(campaign_id=campaign_id).order_by("-id").defer("payload", "result", "traceback")
    dead = jobs.in_state(State.DEAD)
    return Newest(_by_subject(jobs), _by_subject(dead))


def _by_subject(jobs: Any) -> dict[tuple[str, str], Job]:
    return {(job.type, job.subject): job for job in reversed(jobs[:NEWEST])}
