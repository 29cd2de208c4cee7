"""Dead jobs become alerts: read from the audit trail, so that no worker does anything for it and none is missed.

Entries are read from a little before the last one seen, for a transaction may commit later than another that began
after it; SeenDeath keeps each from being counted twice. Both are written in one transaction with the alerts.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from jobs import actor as actors
from jobs.errors import NotAuthorized
from jobs.models import AuditEntry, Job
from monitoring.alerting.store import Finding, record
from monitoring.models import Kind, MonitorState, SeenDeath, Severity

OVERLAP: Final = timedelta(seconds=60)  #: longer than a transaction of the ledger takes
BATCH: Final = 2000
SHOWN: Final = 10  #: ids of dead jobs in an alert's details
_CRON: Final = actors.cron("")


@dataclass(frozen=True, slots=True)
class Death:
    """One dead job, with what its last entry says."""

    entry: AuditEntry
    job_id: str
    job_type: str
    campaign_id: str
    source: str
    may_have_been_applied: bool


def unseen(since: datetime) -> QuerySet[AuditEntry]:
    """Deaths after `since` that were not counted yet, oldest first; from an index that holds deaths only."""
    seen = SeenDeath.objects.filter(entry_id=OuterRef("pk"))
    return AuditEntry.objects.of_dead().filter(at__gt=since).exclude(Exists(seen)).order_by("at")


@transaction.atomic
def collect(now: datetime) -> bool:
    """Count the deaths since the last time; whether there may be more. Raises django.db's errors."""
    state = MonitorState.objects.select_for_update().get()
    entries = list(unseen(state.deaths_until - OVERLAP)[:BATCH])
    for finding in findings(_deaths(entries)):
        record(finding, at=now)
    SeenDeath.objects.bulk_create([SeenDeath(entry_id=e.pk, at=e.at) for e in entries], batch_size=500)
    full = len(entries) == BATCH
    until = max(state.deaths_until, entries[-1].at) if full else now
    SeenDeath.objects.filter(at__lte=until - OVERLAP).delete()
    MonitorState.objects.filter(pk=state.pk).update(deaths_until=until)
    return full


def _deaths(entries: Sequence[AuditEntry]) -> list[Death]:
    rows = Job.objects.filter(pk__in=[e.job_id for e in entries])
    jobs = rows.only("type", "campaign_id", "source", "may_have_been_applied").in_bulk()
    return [
        Death(e, str(e.job_id), job.type, job.campaign_id, job.source, job.may_have_been_applied)
        for e in entries
        if (job := jobs.get(e.job_id))
    ]


def findings(deaths: Sequence[Death]) -> Iterator[Finding]:
    """What is worth an alert: one for each job type, and one for each special cause."""
    groups: defaultdict[tuple[Kind, str], list[Death]] = defaultdict(list)
    for death in deaths:
        groups[Kind.JOB_DEAD, death.job_type].append(death)
        if death.may_have_been_applied:
            groups[Kind.EFFECT_UNKNOWN, death.job_type].append(death)
        if death.entry.error.startswith(NotAuthorized.__name__):
            groups[Kind.CREDENTIAL_REFUSED, ""].append(death)
        if death.source.startswith(_CRON):
            groups[Kind.CRON_FAILED, death.source.removeprefix(_CRON)].append(death)
    for (kind, about), group in groups.items():
        yield _finding(kind, about, group)


def _finding(kind: Kind, about: str, group: Sequence[Death]) -> Finding:
    last = group[-1]
    title = {
        Kind.JOB_DEAD: f"{about}: a job is dead",
        Kind.EFFECT_UNKNOWN: f"{about}: it is unknown whether an effect was executed",
        Kind.CREDENTIAL_REFUSED: "The main API refuses our credential",
        Kind.CRON_FAILED: f"Cron task {about} failed",
    }[kind]
    details = {"jobs": [d.job_id for d in group[-SHOWN:]], "error": last.entry.error or last.entry.reason}
    if kind == Kind.CRON_FAILED:
        details["task"] = about
    return Finding(
        kind=kind,
        key=f"{kind.value}:{about}" if about else kind.value,
        severity=Severity.WARNING if kind == Kind.CRON_FAILED else Severity.CRITICAL,
        title=title,
        message=f"{last.entry.reason}. {_NEXT[kind]}",
        details=details,
        job_type=last.job_type if kind != Kind.CREDENTIAL_REFUSED else "",
        campaigns=Counter(death.campaign_id for death in group),
        count=len(group),
    )


_NEXT: Final = {
    Kind.JOB_DEAD: "Nothing happens until somebody retries it.",
    Kind.EFFECT_UNKNOWN: "Look in the main API whether it was executed before you retry it.",
    Kind.CREDENTIAL_REFUSED: "Correct API_SERVICE_ACCOUNT_TOKEN; then retry the jobs that met it.",
    Kind.CRON_FAILED: "Its job is dead; the task fires again at its next time.",
}
