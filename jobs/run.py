"""Run: what a handler gets besides its payload."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import msgspec

from jobs.main_api.client import MainApi
from jobs.main_api.model import Campaign, Event
from jobs.sending import Sending
from jobs.states import StepState
from jobs.world.calendars.calendar import Calendar
from jobs.world.clock import Moment, WorldTime
from jobs.world.event_policies import Policies


class Followup(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a handler submits."""

    type: str
    campaign_id: str
    payload: dict[str, Any]
    subject: str | None = None
    clock_due: Moment | None = None
    occurrences: int = 1
    interval: timedelta | None = None


class WantedSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that an entity should have for one event type, and the job to submit when it is due."""

    entity_id: str
    entity_name: str
    event_type: str
    interval: timedelta
    variables: Any  #: of the entity, including its marks
    job_type: str
    payload: dict[str, Any]
    household: str = ""  #: the ID of its settlement


class Seen(NamedTuple):
    """A campaign, and the schedules that its entities want."""

    campaign: Campaign
    wanted: Sequence[WantedSchedule]


class Applied(msgspec.Struct, frozen=True):
    """Every occurrence of an entity's `event` up to `anchor` has been applied."""

    entity_id: str
    event: str
    anchor: Moment
    interval: timedelta | None = None  #: None: it does not recur
    next_due: Moment | None = None  #: None: never
    payload: dict[str, Any] = {}  #: of the jobs of the event, which may be a new one


class Schedules(Protocol):
    """The schedules and campaign clocks, as handlers see them (implemented in jobs/schedules/store.py).

    Submit the jobs that a method returns in the transaction in which it is called: it moves their schedules.
    """

    def begin_read(self) -> datetime:
        """When a read of campaigns begins, by the database's clock: it is told with what was read."""

    def remember(self, campaign: Campaign, began: datetime) -> None:
        """Store a campaign that was read individually."""

    def sync(
        self, campaign: Campaign, entity_type: str, wanted: Sequence[WantedSchedule], *, read: Collection[str]
    ) -> list[Followup]:
        """Replace the schedules of the entities that were read by `wanted`. Returns the jobs that are due.

        Schedules of other entities are unchanged.
        """

    def find_absent(self, campaign_id: str, entity_type: str, read: Collection[str], *, most: int) -> list[str]:
        """Find entities of the campaign with schedules that were not read, at most `most`."""

    def confirm(self, campaign_id: str, entity_type: str, entity_ids: Collection[str]) -> None:
        """Mark these entities as just read."""

    def find_unconfirmed(self, campaign_id: str, entity_type: str, since: datetime, *, most: int) -> list[str]:
        """Find entities with schedules that were neither read nor moved since then, at most `most`."""

    def clear(self, campaign_id: str, entity_type: str, began: datetime) -> None:
        """Remove the schedules of a campaign that is gone, and mark it as inactive."""

    def deactivate(self, campaign_id: str, entity_type: str, began: datetime) -> None:
        """Mark a campaign as inactive: its schedules stay, and do not fire until they are read again."""

    def remember_all(self, campaigns: Sequence[Campaign], began: datetime) -> None:
        """Store campaigns from a list."""

    def count_campaigns(self) -> int:
        """Count the campaigns that were ever seen."""

    def find_campaigns(self, entity_type: str, *, after: str, most: int) -> list[str]:
        """Find campaigns that are active or have schedules to stop or remove, in the database's order."""

    def find_failed(self, job_type: str, campaign_ids: Collection[str]) -> set[str]:
        """Find campaigns whose recalculation is a dead letter and has not succeeded since."""

    def find_moved(self, campaigns: Sequence[Campaign]) -> set[str]:
        """Find active campaigns that differ from what is stored, or whose world time is not processed yet."""

    def find_changed(self, entity_type: str, seen: Sequence[Seen]) -> set[str]:
        """Find campaigns with a schedule that is new, gone, due, or stored with another due time."""

    def world_time(self, campaign_id: str) -> str:
        """Return the campaign's world time when last seen; empty if it has none."""

    def advances_to(self, campaign_id: str) -> WorldTime | None:
        """Up to when its entities are advanced: its world time when last seen, or the stop at which that stands."""

    def is_active(self, campaign_id: str) -> bool:
        """Whether the campaign was active when last seen; True if it never was seen."""

    def record_applied(self, noted: Sequence["Applied"]) -> list[Followup]:
        """Record what was applied and compute the next due times. Returns the jobs that are already due."""

    def set_aside(self, ids: Sequence[str], campaign: Campaign) -> list[Followup]:
        """Let no settlement wait for structures that cannot be read: these, or those of these settlements.

        Returns the jobs that waited for them.
        """

    def anchors(self, entity_ids: Sequence[str]) -> Mapping[str, Mapping[str, Moment]]:
        """Return by entity and event when it was last due or, if it never was, when the entity was first seen."""

    def barriers(self, settlement_ids: Sequence[str], reading: Moment) -> Mapping[str, Moment]:
        """Return by settlement when its structures are due by `reading`, if there are jobs that will apply that."""

    def forget(self, *entity_ids: str) -> list[Followup]:
        """Remove the schedules of entities that are gone. Returns the jobs that waited for them."""


class Advances(Protocol):
    """The movements of world time, as handlers see them (implemented in jobs/schedules/advances.py)."""

    def find_target(self, job_id: str) -> WorldTime | None:
        """Return where an earlier attempt of the job has decided to move time to."""

    def is_taken_back(self, job_id: str) -> bool:
        """Whether the job is a step that its world clock has cancelled, so that its time is owed again."""

    def begin(self, job_id: str, campaign_id: str, was: WorldTime, to: WorldTime) -> WorldTime:
        """Record where the job moves time to, before it does. Returns what the first attempt recorded."""

    def finish(self, job_id: str, *, moved_from: WorldTime | None, moved_to: WorldTime) -> None:
        """The campaign's clock has reached `moved_to`: submit once the jobs that look for what is due."""

    def calendar(self, campaign_id: str) -> Calendar:
        """Return the campaign's calendar."""

    def next_due(self, campaign_id: str, after: WorldTime) -> WorldTime | None:
        """Return when a settlement or structure is due next, by the schedules as they stand; None if none is."""

    def next_stop(self, campaign_id: str, after: WorldTime) -> WorldTime | None:
        """Return when the next job is due that waits for a world time; None if none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request of a job that triggers an event: an effect or, as the last one, the event's completion."""

    position: int
    operation: str  #: the mutation
    effect_id: str = ""
    name: str = ""
    timing: str = ""
    state: StepState = StepState.PLANNED
    note: str = ""  #: its error, or what the main API said
    was_unknown: bool | None = False  #: a request of it had no clear outcome; None: a release before recorded it


class Sender(NamedTuple):
    """Another job that may have sent requests to trigger an event, or will send some."""

    job_id: str
    has_ended: bool


class Triggers(Protocol):
    """Policies for events and what was sent to trigger one, as handlers see them (implemented in jobs/triggers/)."""

    def policies(self, campaign_ids: Sequence[str]) -> Policies:
        """The policies that may count for events of these campaigns."""

    def jobs_for(self, events: Sequence[Event]) -> list[Followup]:
        """A job for each event that is scheduled and has none yet."""

    def find_given_up(self, events: Sequence[Event]) -> Collection[str]:
        """The IDs of the events whose job an operator has cancelled or discarded."""

    def steps(self, job_id: str) -> list[Step]:
        """What the job is going to send and may have sent, in order; empty before it has planned.

        A step that an earlier attempt began and did not end is UNKNOWN if its request may have been sent; else PLANNED.
        """

    def give_way(self, job_id: str, event: Event) -> Sender | None:
        """The job that may have sent requests for this event, or will; this job's plan is withdrawn then.

        One that was done before this job was made is none.
        """

    def plan(self, job_id: str, event: Event, steps: Sequence[Step]) -> list[Step] | Sender:
        """Record what the job is going to send. Returns what its first attempt planned.

        If another job goes first, as `give_way` says, returns that one; this job's plan is withdrawn.
        """

    def begin(self, job_id: str, position: int, attempt: int, *, again: bool = False) -> None:
        """A step begins: from now on, its request may be sent. `again`: an earlier one may have been carried out."""

    def take_over(self, job_id: str, position: int, attempt: int) -> None:
        """This attempt knows how a request ended that an earlier one has begun: `end` records it then."""

    def take_back(self, job_id: str, position: int, attempt: int, state: StepState) -> None:
        """The request of a step that has begun was clearly not carried out: the step is as before."""

    def end(self, job_id: str, position: int, attempt: int, state: StepState, note: str = "") -> None:
        """How a step ended. Unless its outcome is unknown, nothing that the attempt has sent is open any more."""

    def ask(self, job_id: str, event: Event, *, within: timedelta, default: bool) -> datetime:
        """Ask an operator whether to trigger the event, once. Returns the deadline, from which the default counts."""

    def answer(self, job_id: str) -> tuple[bool, str] | None:
        """The answer and who gave it; None if the job has not asked, or nobody has answered in time yet."""


def _record_nothing() -> bool:
    """For a type whose requests may be sent twice."""
    return True


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one job, with everything that its handler may use."""

    job_id: str
    campaign_id: str
    attempt: int
    due_at: datetime
    api: MainApi
    schedules: Schedules
    advances: Advances
    triggers: Triggers
    submit: Callable[[Sequence[Followup]], int]
    """Submits jobs. Returns how many of them are new."""
    clock_due: Moment | None
    """The last due time to apply, on the campaign's clock; None for a job that a person submitted."""
    occurrences: int
    """The number of due times, `interval` apart, up to `clock_due`."""
    interval: timedelta | None
    sending: Sending = msgspec.field(default_factory=lambda: Sending(_record_nothing))
    """Tracks the request that must not be sent twice, if the type is not idempotent."""
    paused_campaigns: Callable[[], Collection[str]] = frozenset
    """Returns the IDs of paused campaigns. A job for all campaigns does not read them; each may get its own job."""
    waits: int = 0
    """How many of the job's claims were no attempts: they found that it must wait, or were handed back."""

    @property
    def attempts(self) -> int:
        """The job's attempts so far, this one included."""
        return self.attempt - self.waits
