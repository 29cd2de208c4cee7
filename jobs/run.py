"""What a handler is given beside its payload."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from jobs.main_api.client import MainApi
from jobs.main_api.model import Campaign
from jobs.sending import Sending
from jobs.world.clock import Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Followup:
    """A job that a handler wants submitted."""

    type: str
    campaign_id: str
    payload: dict[str, Any]
    subject: str | None = None
    clock_due: Moment | None = None
    occurrences: int = 1
    interval: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One event type of one entity that should have a schedule row, and the job that its falling due submits."""

    entity_id: str
    entity_name: str
    event_type: str
    interval: timedelta
    variables: Any  #: of the entity; they hold the mark of what was applied
    job_type: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Applied:
    """All of `event` of an entity up to `due` is applied."""

    entity_id: str
    event: str
    due: Moment
    interval: timedelta | None  #: None: it does not come again


class Schedules(Protocol):
    """The schedule rows and campaign clocks, as far as handlers change them (see jobs/schedules/store.py)."""

    def remember(self, campaign: Campaign) -> None:
        """Remember what the main API said when it was asked for this campaign alone."""

    def sync(
        self, campaign: Campaign, entity_type: str, wanted: Sequence[Wanted], *, read: Collection[str]
    ) -> list[Followup]:
        """Make the rows of the settlements or structures that were read just these; the jobs that are due.

        Rows of other entities stay as they are.
        """

    def find_absent(self, campaign_id: str, entity_type: str, read: Collection[str], *, most: int) -> list[str]:
        """Entities of the campaign that have rows and were not read, at most so many."""

    def confirm(self, campaign_id: str, entity_type: str, entity_ids: Collection[str]) -> None:
        """Note that these entities were read just now."""

    def find_unconfirmed(self, campaign_id: str, entity_type: str, since: datetime, *, most: int) -> list[str]:
        """Entities with rows that neither were read nor moved since then, at most so many."""

    def clear(self, campaign_id: str, entity_type: str) -> None:
        """Remove the rows of a campaign that is gone or inactive, and note that it is."""

    def campaigns_with_rows(self, entity_type: str) -> list[str]:
        """The ids of the campaigns that have rows of settlements or structures."""

    def is_active(self, campaign_id: str) -> bool:
        """Whether the campaign was active when it was last seen; also where it never was."""

    def record_applied(self, noted: Sequence["Applied"]) -> list[Followup]:
        """Note what was applied, count the next due times from it; the jobs that are due already."""

    def forget(self, *entity_ids: str) -> None:
        """Remove the rows of entities that are gone."""

    def mark_processed(self, campaign_id: str, world_time: str) -> None:
        """Note that the campaign's events were looked at as of `world_time`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt of one job: all that its handler may use."""

    job_id: str
    campaign_id: str
    attempt: int
    due_at: datetime
    api: MainApi
    schedules: Schedules
    submit: Callable[[Sequence[Followup]], int]
    """Submits jobs; how many of them are new."""
    clock_due: Moment | None
    """The last due time to apply, on the campaign's clock; None for a job asked for by hand."""
    occurrences: int
    """How many due times, `interval` apart, end at `clock_due`."""
    interval: timedelta | None
    sending: Sending = field(default_factory=lambda: Sending(lambda: True))
    """Of the one request that must not be sent twice, where the type is not idempotent."""
    paused_campaigns: Callable[[], Collection[str]] = frozenset
    """The ids of campaigns that somebody has paused: a job for all campaigns leaves them out."""
