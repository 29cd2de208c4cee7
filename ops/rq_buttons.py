"""Which buttons RQ's dashboard has for a job: by its state and the user's permissions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rq.job import Job as RQJob
from rq.job import JobStatus

from jobs.broker import keys
from jobs.models import Job
from jobs.states import DISCARDABLE, WAITING, State, sources_of
from ops import rq_dashboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    permission: str
    ours: tuple[State, ...]
    """The states of scheduler jobs that allow it, from jobs/states.py."""
    foreign: tuple[JobStatus, ...]
    """The RQ statuses of plain RQ jobs that allow it."""
    press: Callable[..., rq_dashboard.Pressed]
    also: str = ""
    """A second permission that it needs: deleting discards dead letters."""

    def permitted(self, may: Callable[[str], bool]) -> bool:
        """Whether somebody who `may` use some permissions may press it."""
        return may(self.permission) and (not self.also or may(self.also))


BUTTONS: Final[Mapping[str, Button]] = {
    "requeue": Button(
        permission="jobs.retry_job",
        ours=(State.DEAD,),
        foreign=(JobStatus.FAILED, JobStatus.STOPPED),
        press=rq_dashboard.requeue,
    ),
    "enqueue": Button(
        permission="jobs.run_now_job",
        ours=WAITING,
        foreign=(JobStatus.SCHEDULED,),
        press=rq_dashboard.enqueue,
    ),
    "delete": Button(
        permission="jobs.cancel_job",
        also="jobs.discard_job",
        ours=DISCARDABLE,
        foreign=tuple(status for status in JobStatus if status is not JobStatus.STARTED),
        press=rq_dashboard.delete,
    ),
    "stop": Button(
        permission="jobs.cancel_job",
        ours=sources_of(State.DEAD),
        foreign=(JobStatus.STARTED,),
        press=rq_dashboard.stop,
    ),
}


def find_buttons(jobs: Sequence[RQJob], may: Callable[[str], bool]) -> list[frozenset[str]]:
    """The names of the BUTTONS that each job's state and the user's permissions (`may`) allow; one query."""
    pks = [keys.uuid_of(job.id) for job in jobs]
    wanted = [pk for pk in pks if pk]
    states = {pk: State(state) for pk, state in Job.objects.filter(pk__in=wanted).values_list("pk", "state")}
    allowed = {name: button for name, button in BUTTONS.items() if button.permitted(may)}
    return [
        frozenset(
            name
            for name, button in allowed.items()
            if (states[pk] in button.ours if pk in states else job.get_status(refresh=False) in button.foreign)
        )
        for job, pk in zip(jobs, pks, strict=True)
    ]
