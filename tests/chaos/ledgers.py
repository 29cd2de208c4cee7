"""The three ledgers: what the client was told, what the database holds, and what the main API has done."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

#: Where the client's growths are counted: the sandbox's third campaign is inactive, so that nothing else grows there.
COUNTED_CAMPAIGN: Final = "campaign-3"
GROWTH: Final = "RESOURCE_GENERATION"
GOLD: Final = 5  #: what one growth adds
CLIENT: Final = "token:tests"


@dataclass(slots=True)
class Submitted:
    """One piece of work that the client wanted, however often it asked."""

    body: Mapping[str, Any]
    answers: list[tuple[int, str]] = field(default_factory=list)  #: status and job id of each answer that came

    @property
    def job_ids(self) -> set[str]:
        """The jobs that it was told of."""
        return {job_id for status, job_id in self.answers if status in (200, 201)}

    @property
    def effect(self) -> str:
        """The effect that it executes; empty if it does something else."""
        return str(self.body["payload"].get("effectId", ""))


@dataclass(frozen=True, slots=True)
class Commanded:
    """One command that was answered with 200: by MOVES the job went to a state."""

    job_id: str
    verb: str
    to: str


@dataclass(slots=True)
class Client:
    """What the client did and was told."""

    submitted: list[Submitted] = field(default_factory=list)
    commanded: list[Commanded] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)  #: answers that no client can use


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job."""

    id: str
    type: str
    campaign_id: str
    subject: str
    payload: Mapping[str, Any]
    state: str
    attempt: int
    may_have_been_applied: bool
    source: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An audit entry."""

    job_id: str
    at: datetime
    was: str
    now: str
    attempt: int
    actor: str
    reason: str


@dataclass(slots=True)
class Audited:
    """The database: jobs, and each one's audit entries in order."""

    jobs: dict[str, JobRow]
    trails: dict[str, list[Entry]]


@dataclass(frozen=True, slots=True)
class Applied:
    """The sandbox: how often each effect was executed, and the growths of each counted settlement."""

    effects: Counter[str]
    growths: Mapping[str, float]


JOBS: Final = """
SELECT id, type, campaign_id, subject, payload, state, attempt, may_have_been_applied, source, due_at FROM jobs_job
"""
ENTRIES: Final = "SELECT job_id, at, was, now, attempt, actor, reason FROM jobs_auditentry ORDER BY id"


def audited_of(jobs: Iterable[Mapping[str, Any]], entries: Iterable[Mapping[str, Any]]) -> Audited:
    """The database's ledger, from the rows of JOBS and ENTRIES."""
    found = Audited({}, {})
    for row in jobs:
        job = JobRow(
            **{
                **row,
                "id": _id(row["id"]),
                "due_at": _moment(row["due_at"]),
                "payload": _json(row["payload"]),
                "may_have_been_applied": bool(row["may_have_been_applied"]),
            }
        )
        found.jobs[job.id] = job
    for row in entries:
        entry = Entry(**{**row, "job_id": _id(row["job_id"]), "at": _moment(row["at"])})
        found.trails.setdefault(entry.job_id, []).append(entry)
    return found


def _id(value: UUID | str) -> str:
    return str(value if isinstance(value, UUID) else UUID(value))


def _moment(value: datetime | str) -> datetime:
    """SQLite has no type for times; Django keeps them in UTC."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def applied_of(world: Mapping[str, Any]) -> Applied:
    """The sandbox's ledger, from its world."""
    effects = Counter(execution["effectId"] for execution in world["executions"])
    number = COUNTED_CAMPAIGN.removeprefix("campaign-")
    growths = {
        name: settlement["variables"].get("resources", {}).get("gold", 0) / GOLD
        for name, settlement in world["settlements"].items()
        if name.startswith(f"settlement-{number}-")
    }
    return Applied(effects, growths)
