"""Failures, with counts of their dead letters by type, campaign and hour."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from jobs import state_counts
from jobs.models import FailureGroup, FailureHour, Job
from jobs.states import State
from ops.humanize import limited_count

LOOKED_AT: Final = 200  #: newest dead letters of one failure that a list counts by type and campaign
HOURS: Final = 48  #: of a sparkline
PAGE: Final = 25
#: With the state written out, or no database would take the index that holds dead letters only.
_DEAD: Final = f"jobs_job WHERE state = '{State.DEAD}' AND failure_key ="


@dataclass(slots=True)
class Failure:
    """A group of dead letters with their counts."""

    group: FailureGroup
    dead: int = 0
    types: dict[str, int] = field(default_factory=dict)
    by_campaign: dict[str, int] = field(default_factory=dict)
    hours: list[int] = field(default_factory=lambda: [0] * HOURS)

    @property
    def dead_count(self) -> str:
        """With a plus sign beyond MOST_COUNTED."""
        return limited_count(self.dead)

    @property
    def campaigns(self) -> int:
        return len(self.by_campaign)

    @property
    def recurred(self) -> bool:
        """Whether it was seen again after it was acknowledged."""
        at = self.group.acknowledged_at
        return at is not None and self.group.last_seen > at


def find_dead_letters(key: str | OuterRef) -> QuerySet[Job]:
    return Job.objects.in_state(State.DEAD).filter(failure_key=key)


def find_groups(which: str) -> QuerySet[FailureGroup]:
    """Failures, last seen first: "open" have dead letters that nobody has acknowledged, "known" have others."""
    return FailureGroup.objects.filter(_SHOWN[which]).order_by("-last_seen", "key")


def count_groups() -> dict[str, int]:
    """How many failures each list has; one query."""
    counts: dict[str, int] = FailureGroup.objects.aggregate(
        **{which: Count("pk", filter=shown) for which, shown in _SHOWN.items()}
    )
    return counts


#: The failures of each list.
_UNKNOWN: Final = Q(acknowledged_at=None) | Q(last_seen__gt=F("acknowledged_at"))
_WITH_DEAD: Final = Q(Exists(find_dead_letters(OuterRef("key"))))
_SHOWN: Final = {"open": _WITH_DEAD & _UNKNOWN, "known": _WITH_DEAD & ~_UNKNOWN, "all": Q()}


def describe(found: Sequence[FailureGroup], now: datetime, *, looked_at: int = LOOKED_AT) -> list[Failure]:
    """Count their dead letters, the newest `looked_at` by type and campaign; three queries in all."""
    failures = {group.key: Failure(group) for group in found}
    if not failures:
        return []
    for key, n in _query_each(
        failures, "SELECT {key}, COUNT(*) FROM ({dead} LIMIT {most}) AS d", state_counts.MOST_COUNTED + 1
    ):
        failures[key].dead = n
    newest = "SELECT {key}, type, campaign_id, COUNT(*) FROM ({dead} ORDER BY id DESC LIMIT {most}) AS d GROUP BY 2, 3"
    for key, kind, campaign, n in _query_each(failures, newest, looked_at):
        failures[key].types[kind] = failures[key].types.get(kind, 0) + n
        failures[key].by_campaign[campaign] = failures[key].by_campaign.get(campaign, 0) + n
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    since = this_hour - timedelta(hours=HOURS - 1)
    rows = FailureHour.objects.filter(group_id__in=list(failures), hour__gte=since)
    for key, hour, jobs in rows.values_list("group_id", "hour", "jobs"):
        position = int((hour - since) / timedelta(hours=1))
        if 0 <= position < HOURS:
            failures[key].hours[position] += jobs
    return list(failures.values())


def _query_each(failures: dict[str, Failure], sql: str, most: int) -> list[Any]:
    """Run `sql` for each failure, in one statement; the keys are hexadecimal digits, so formatting them is safe."""
    parts = []
    for key in failures:
        if not key.isalnum():
            raise ValueError(f"{key!r} is no key of a failure")
        dead = f"SELECT type, campaign_id, id FROM {_DEAD} '{key}'"
        parts.append("SELECT * FROM (" + sql.format(key=f"'{key}'", dead=dead, most=most) + ") AS one")
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts))
        return list(cursor.fetchall())
