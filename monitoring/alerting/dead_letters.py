"""Turn dead letters into alerts. They are read from the audit trail, so workers do nothing for alerts.

A transaction may commit after one that began later, so each read starts a little before the last entry seen.
SeenDeadLetter prevents counting an entry twice. It is written in one transaction with the alerts.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext, gettext_noop

from jobs import actor as actors
from jobs.errors import NotAuthorized
from jobs.models import AuditEntry, Job
from jobs.registry import label_of
from jobs.states import State
from monitoring.alerting.store import Finding, record_each
from monitoring.models import Kind, MonitorState, SeenDeadLetter, Severity

OVERLAP: Final = timedelta(seconds=60)  #: longer than any transaction of the ledger
BATCH: Final = 2000
SHOWN: Final = 10  #: job ids in an alert's details
_CRON: Final = actors.cron("")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, with the audit entry of its last move."""

    entry: AuditEntry
    job_id: str
    job_type: str
    campaign_id: str
    source: str
    may_have_been_applied: bool
    failure: str  #: the key of its failure


def unseen(since: datetime) -> QuerySet[AuditEntry]:
    """Return the entries of dead letters after `since` that were not counted yet, oldest first.

    A dead letter that an operator brings back is not a new one.
    """
    seen = SeenDeadLetter.objects.filter(entry_id=OuterRef("pk"))
    failed = AuditEntry.objects.of_dead().filter(was=State.RUNNING)
    return failed.filter(at__gt=since).exclude(Exists(seen)).order_by("at")


@transaction.atomic
def collect(now: datetime) -> bool:
    """Count the dead letters since the last call. Returns whether there may be more. Raises django.db's errors."""
    state = MonitorState.objects.select_for_update().get()
    entries = list(unseen(state.dead_letters_until - OVERLAP)[:BATCH])
    record_each(findings(_dead_letters(entries)), at=now)
    SeenDeadLetter.objects.bulk_create([SeenDeadLetter(entry_id=e.pk, at=e.at) for e in entries], batch_size=500)
    full = len(entries) == BATCH
    until = max(state.dead_letters_until, entries[-1].at) if full else now
    SeenDeadLetter.objects.filter(at__lte=until - OVERLAP).delete()
    MonitorState.objects.filter(pk=state.pk).update(dead_letters_until=until)
    return full


def _dead_letters(entries: Sequence[AuditEntry]) -> list[DeadLetter]:
    rows = Job.objects.filter(pk__in=[e.job_id for e in entries])
    jobs = rows.only("type", "campaign_id", "source", "may_have_been_applied", "failure_key").in_bulk()
    return [
        DeadLetter(e, str(e.job_id), job.type, job.campaign_id, job.source, job.may_have_been_applied, job.failure_key)
        for e in entries
        if (job := jobs.get(e.job_id))
    ]


def findings(dead_letters: Sequence[DeadLetter]) -> Iterator[Finding]:
    """Yield one finding per job type, and one per special cause."""
    groups: defaultdict[tuple[Kind, str], list[DeadLetter]] = defaultdict(list)
    for dead in dead_letters:
        groups[Kind.JOB_DEAD, dead.job_type].append(dead)
        if dead.may_have_been_applied:
            groups[Kind.EFFECT_UNKNOWN, dead.job_type].append(dead)
        if dead.entry.error.startswith(NotAuthorized.__name__):
            groups[Kind.CREDENTIAL_REFUSED, ""].append(dead)
        if dead.source.startswith(_CRON):
            groups[Kind.CRON_FAILED, dead.source.removeprefix(_CRON)].append(dead)
    for (kind, about), group in groups.items():
        yield _finding(kind, about, group)


def _finding(kind: Kind, about: str, group: Sequence[DeadLetter]) -> Finding:
    last, name = group[-1], label_of(about)
    title = {
        Kind.JOB_DEAD: gettext("Dead letter: %(type)s") % {"type": name},
        Kind.EFFECT_UNKNOWN: gettext("Unknown effect outcome: %(type)s") % {"type": name},
        Kind.CREDENTIAL_REFUSED: gettext("Main API rejected the service token"),
        Kind.CRON_FAILED: gettext("Cron task %(task)s failed") % {"task": about},
    }[kind]
    details = {"jobs": [d.job_id for d in group[-SHOWN:]], "error": last.entry.error or last.entry.reason}
    details |= {"failure": last.failure} if last.failure else {}
    if kind == Kind.CRON_FAILED:
        details["task"] = about
    return Finding(
        kind=kind,
        key=f"{kind.value}:{about}" if about else kind.value,
        severity=Severity.WARNING if kind == Kind.CRON_FAILED else Severity.CRITICAL,
        title=title,
        message=f"{last.entry.reason}. {gettext(_NEXT[kind])}",
        details=details,
        job_type=last.job_type if kind != Kind.CREDENTIAL_REFUSED else "",
        campaigns=Counter(dead.campaign_id for dead in group),
        count=len(group),
    )


_NEXT: Final = {
    Kind.JOB_DEAD: gettext_noop("It stays dead until an operator retries or discards it."),
    Kind.EFFECT_UNKNOWN: gettext_noop("Check in the main API whether it was executed before you retry it."),
    Kind.CREDENTIAL_REFUSED: gettext_noop("Correct API_SERVICE_ACCOUNT_TOKEN, then retry the dead letters."),
    Kind.CRON_FAILED: gettext_noop("Its job is dead; the task runs again at its next time."),
}
