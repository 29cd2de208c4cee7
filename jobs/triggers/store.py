"""`jobs.run.Triggers` in the database."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from jobs.main_api.model import Event
from jobs.run import Followup, Sender, Step
from jobs.states import StepState
from jobs.triggers import due, policies, questions, steps
from jobs.world.event_policies import Policies


class DatabaseTriggers:
    """What the modules of this package do, as handlers see it."""

    def policies(self, campaign_ids: Sequence[str]) -> Policies:
        """The policies that may count for events of these campaigns."""
        return policies.of_campaigns(campaign_ids)

    def jobs_for(self, events: Sequence[Event]) -> list[Followup]:
        """A job for each event that is scheduled and has none yet."""
        return due.jobs_for(events)

    def find_given_up(self, events: Sequence[Event]) -> set[str]:
        """The IDs of the events whose job an operator has cancelled or discarded."""
        return due.find_given_up(events)

    def steps(self, job_id: str) -> list[Step]:
        """What the job is going to send and may have sent, in order; empty before it has planned."""
        return steps.resume(job_id)

    def give_way(self, job_id: str, event: Event) -> Sender | None:
        """The job that may have sent requests for this event, or will; this job's plan is withdrawn then."""
        return steps.give_way(job_id, event)

    def plan(self, job_id: str, event: Event, planned: Sequence[Step]) -> list[Step] | Sender:
        """Record what the job is going to send, or return the job that goes first."""
        return steps.plan(job_id, event, planned)

    def begin(self, job_id: str, position: int, attempt: int, *, again: bool = False) -> None:
        """A step begins: from now on, its request may be sent. `again`: an earlier one may have been carried out."""
        steps.begin(job_id, position, attempt, again=again)

    def take_over(self, job_id: str, position: int, attempt: int) -> None:
        """This attempt knows how a request ended that an earlier one has begun: `end` records it then."""
        steps.take_over(job_id, position, attempt)

    def take_back(self, job_id: str, position: int, attempt: int, state: StepState) -> None:
        """The request of a step that has begun was clearly not carried out: the step is as before."""
        steps.take_back(job_id, position, attempt, state)

    def end(self, job_id: str, position: int, attempt: int, state: StepState, note: str = "") -> None:
        """How a step ended. Unless its outcome is unknown, nothing that the attempt has sent is open any more."""
        steps.end(job_id, position, attempt, state, note)

    def ask(self, job_id: str, event: Event, *, within: timedelta, default: bool) -> datetime:
        """Ask an operator whether to trigger the event, once. Returns the deadline, from which the default counts."""
        return questions.ask(job_id, event, within=within, default=default)

    def answer(self, job_id: str) -> tuple[bool, str] | None:
        """The answer and who gave it; None if the job has not asked, or nobody has answered in time yet."""
        return questions.find_answer(job_id, timezone.now())
