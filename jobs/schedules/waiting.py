"""A settlement waits for its structures.

A level-up check sees the structures as they were at its time, and an upgrade check the resources. So what is due of a
structure is applied first; only then do the jobs of its settlement follow (jobs/world/household.py). What no job will
apply is not waited for: its last job is a dead letter or was cancelled, or the structure cannot be read.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import count
from typing import Final, NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from jobs.errors import InvalidJob
from jobs.models import Job, ScheduleRow, numbered_key, unique_key_of
from jobs.registry import type_named
from jobs.schedules.rows import BATCH, due_structures_of, households_to_fire
from jobs.states import ENDED, FINAL, State
from jobs.world.clock import Moment, WorldTime, clock_name, parse_moment, sortable

#: A worker of the release before fires a row in one transaction, and submits its job in the next.
SUBMITTED_WITHIN: Final = timedelta(minutes=1)


class DueRow(NamedTuple):
    """What is due of a settlement or structure."""

    row: ScheduleRow
    due: Moment
    key: str
    """Of the job that will apply it; empty: it is not submitted yet."""


def find_due_structures(settlement_ids: Collection[str], reading: Moment) -> dict[str, DueRow]:
    """Find by settlement the structure that is due first, by `reading`, among those that will be applied."""
    found: dict[str, DueRow] = {}
    for one in _without_ended([_due_row(row, reading) for row in due_structures_of(settlement_ids, reading)]):
        found.setdefault(one.row.household, one)
    return found


def find_unapplied(campaign_id: str, reading: WorldTime) -> Iterator[DueRow]:
    """What is due in a campaign by `reading` and will be applied, in order; read in parts, as it is asked for."""
    due = _due_by(reading).filter(campaign_id=campaign_id).order_by("next_due", "id")
    for start in count(0, BATCH):
        rows = [_due_row(row, reading) for row in due[start : start + BATCH]]
        yield from _without_ended(rows)
        if len(rows) < BATCH:
            return


def find_waiting(settlement_ids: Collection[str], reading: Moment) -> set[str]:
    """Find the settlements with a structure that is due by `reading` and will be applied."""
    waiting = households_to_fire(settlement_ids, reading)
    return waiting | find_due_structures(set(settlement_ids) - waiting, reading).keys()


def _without_ended(due: Sequence[DueRow]) -> Iterable[DueRow]:
    """Leave out those whose jobs have ended or are gone."""
    keys = {one.key for one in due if one.key}
    if not keys:
        return due
    live = _find_live(keys)
    return (one for one in due if not one.key or one.key in live)


def _find_live(keys: Collection[str]) -> set[str]:
    """The keys among these with a live job, or a live one that does its work again (`submit_followups`)."""
    live: set[str] = set()
    first = {key: key for key in keys}
    for again in count(1):
        found = Job.objects.filter(unique_key__in=first.keys()).values_list("unique_key", "state")
        states = {first[key]: State(state) for key, state in found}
        live |= {key for key, state in states.items() if state not in ENDED}
        first = {numbered_key(key, again): key for key, state in states.items() if state in FINAL}
        if not first:
            break
    return live


def has_due_structures(reading: Moment) -> Exists:
    """A condition on the rows of settlements: some structure of it is due by `reading`."""
    return Exists(_structures_due_by(reading).filter(household=OuterRef("entity_id")))


def _structures_due_by(reading: Moment) -> QuerySet[ScheduleRow]:
    return _due_by(reading).filter(~Q(household=""), entity_type="Structure")


def _due_by(reading: Moment) -> QuerySet[ScheduleRow]:
    rows = ScheduleRow.objects.filter(clock=clock_name(reading), next_due__gt="")
    return rows.filter(next_due__lte=sortable(reading))


def _due_row(row: ScheduleRow, reading: Moment) -> DueRow:
    return DueRow(row, parse_moment(row.clock, row.next_due), _key_of(row, reading))


def _key_of(row: ScheduleRow, reading: Moment) -> str:
    """The unique key of the job that was submitted when the row fired last; empty if that is still to come."""
    if not row.fire_at:  # set aside
        return "none"
    if row.fire_at <= sortable(reading) or row.updated_at > timezone.now() - SUBMITTED_WITHIN:
        return ""
    try:
        next_firing = parse_moment(row.clock, row.fire_at)
        subject = type_named(row.job_type).parse(row.payload).subject()
    except (InvalidJob, ValueError):  # written by another release
        return "unknown"
    due = type(next_firing)(next_firing.at - row.interval)
    return unique_key_of(row.job_type, row.campaign_id, subject, due.isoformat())
