"""Where an advance came out otherwise than its what-if had said, and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from jobs.models import Job, ScheduleRow, WorldAdvance, first_id
from jobs.registry import all_types
from jobs.schedules.predictions import Expected, Prediction
from jobs.states import State
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.text import format_world_time
from jobs.world.clock import WorldTime
from jobs.world.occurrences import ORDER
from ops.labels import label_of_kind, label_within
from ops.reads.advance_outcomes import EntityOutcome, read_outcomes
from ops.reads.forecast import Value, values_of

EARLIER: Final = timedelta(hours=1)  #: so long before a what-if jobs may have been made whose work it includes
LISTED: Final = 50  #: differences on the page
MOST_EFFECTS: Final = 5  #: that are named
_NOTHING: Final = EntityOutcome()


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that came out otherwise."""

    name: str
    what: str
    values: Sequence[Value]
    """What was said, and what came out in its place."""
    causes: Sequence[str]
    dead: Job | None = None


class AdvanceReport:
    """The comparison of an advance that has ended with what was said of it."""

    def __init__(self, row: WorldAdvance, said: Prediction, ceiling: UUID | None, calendar: Calendar) -> None:
        self.said = said
        self._calendar = calendar
        self._row = row
        self._ceiling = ceiling
        self._expected = {one.id: one for one in said.entities}
        self._outcomes = read_outcomes(self._jobs, until=row.to_time, expected=self._expected)

    @cached_property
    def differences(self) -> list[Difference]:
        """By town, each with its structures after it; then what was not expected, then events."""
        return [*self._of_entities, *self._of_events()]

    @property
    def as_said(self) -> int:
        """How many settlements and structures came out as was said."""
        return len(self._every) - len(self._of_entities)

    @cached_property
    def effects(self) -> list[Job]:
        """Jobs that changed the world beside the advance: those whose work cannot be repeated, such as effects."""
        kinds = [name for name, declared in all_types().items() if not declared.idempotent]
        jobs = Job.objects.filter(campaign_id=self._row.campaign_id, type__in=kinds, state=State.SUCCEEDED.value)
        ended = max((one.finished_at for one in self._outcomes.values() if one.finished_at), default=self.said.made_at)
        return list(jobs.filter(finished_at__gte=self.said.made_at, finished_at__lte=ended)[:MOST_EFFECTS])

    @property
    def _jobs(self) -> QuerySet[Job]:
        """Of the campaign, those that applied something since that was said, or still will."""
        jobs = Job.objects.filter(campaign_id=self._row.campaign_id, pk__gte=first_id(self.said.made_at - EARLIER))
        jobs = jobs.filter(clock="world")
        if self._ceiling:
            jobs = jobs.filter(pk__lt=self._ceiling)
        return jobs.filter(Q(finished_at=None) | Q(finished_at__gte=self.said.made_at))

    @cached_property
    def _every(self) -> list[str]:
        """The IDs of all settlements and structures that were to change, or did."""
        changed = (entity_id for entity_id, came in self._outcomes.items() if came.occurrences or came.dead)
        return [*self._expected, *(entity_id for entity_id in changed if entity_id not in self._expected)]

    @cached_property
    def _of_entities(self) -> list[Difference]:
        return [one for entity_id in self._every if (one := self._compare(entity_id)) is not None]

    def _compare(self, entity_id: str) -> Difference | None:
        said, came = self._expected.get(entity_id), self._outcomes.get(entity_id, _NOTHING)
        values = list(_values(said, came))
        if not values:
            return None
        return Difference(
            name=said.name if said else self._names.get(entity_id, entity_id),
            what=label_of_kind(said.kind) if said else gettext("not expected"),
            values=values,
            causes=list(self._causes(entity_id, said, came)) or [gettext("The cause is not known. See its jobs.")],
            dead=came.dead,
        )

    def _causes(self, entity_id: str, said: Expected | None, came: EntityOutcome) -> Iterator[str]:
        if came.dead:
            yield gettext("Its job failed: %(error)s") % {"error": came.dead.error[:200]}
        elif not came.occurrences and entity_id not in self._scheduled:
            yield gettext("It no longer has a schedule: it is gone or archived.")
        elif not came.occurrences:
            yield gettext("It is not applied yet: it waits for its structures or for the next recalculation.")
        if said is None and self.said.unreadable:
            yield gettext("It was not in the what-if, which could not read everything.")
        elif said is None:
            yield gettext("Nothing of it was due in the what-if: it is new, or was changed.")
        elif came.version is not None and came.version != said.version:
            versions = {"others": self._others, "then": said.version, "now": came.version}
            yield (
                gettext("It was changed meanwhile by %(others)s: version %(then)s then, %(now)s when it was applied.")
                % versions
            )
        elif came.was_changed_between:
            yield gettext("It was changed while time passed, by %(others)s.") % {"others": self._others}
        further = self._further
        if further and came.finished_at and further.processed_at and came.finished_at >= further.processed_at:
            yield gettext("Time had moved on to %(time)s when it was applied.") % {"time": self._write(further.to_time)}
        if self._row.from_time != self.said.was.isoformat():
            was = self._write(self._row.from_time)
            yield gettext("Time had moved to %(time)s before the advance began.") % {"time": was}

    def _write(self, world_time: str) -> str:
        return (
            format_world_time(self._calendar, WorldTime.parse(world_time)) if world_time else gettext("an unknown time")
        )

    @property
    def _others(self) -> str:
        if self.effects:
            return gettext("a player or one of the effects above")
        return gettext("a player or the main API")

    @cached_property
    def _further(self) -> WorldAdvance | None:
        """The first advance that moved time further."""
        later = WorldAdvance.objects.filter(campaign_id=self._row.campaign_id, pk__gt=self._row.pk)
        done = later.filter(processed_at__isnull=False).order_by("id")
        return next((one for one in done[:100] if WorldTime.parse(one.to_time) > self.said.to), None)

    @cached_property
    def _scheduled(self) -> set[str]:
        """The IDs of the campaign's entities that have schedules."""
        rows = ScheduleRow.objects.filter(campaign_id=self._row.campaign_id).order_by()
        return set(rows.values_list("entity_id", flat=True))

    @cached_property
    def _names(self) -> Mapping[str, str]:
        rows = ScheduleRow.objects.filter(entity_id__in=[i for i in self._outcomes if i not in self._expected][:500])
        return {entity_id: name for entity_id, name in rows.values_list("entity_id", "entity_name") if name}

    def _of_events(self) -> Iterator[Difference]:
        if not self.said.knows_events:
            return
        jobs = Job.objects.filter(campaign_id=self._row.campaign_id, pk__gte=first_id(self._row.created_at))
        jobs = jobs.filter(request_id=self._row.request_id, state=State.SUCCEEDED.value, clock="")
        results = [one for one in jobs.values_list("result", flat=True) if isinstance(one, dict)]
        came = sum(one["expired"] for one in results if isinstance(one.get("expired"), int))
        if came != len(self.said.expired):
            names = ", ".join(list(self.said.expired.values())[:10])
            cause = gettext("Events were completed, moved or added meanwhile, or their job failed.")
            yield Difference(
                gettext("Events"),
                names or gettext("none"),
                [Value(gettext("expired"), len(self.said.expired), came)],
                [cause],
            )


def _values(said: Expected | None, came: EntityOutcome) -> Iterator[Value]:
    """What differs: variables at the end, and how often something occurred."""
    expected = {name: said.after.get(name) for name in {**said.before, **said.after}} if said else {}
    before = {**came.before, **(said.before if said else {})}
    for name in {**expected, **came.after}:
        was = before.get(name)
        wanted, found = expected.get(name, was), came.after.get(name, was)
        if wanted != found:
            yield from values_of({name: wanted}, {name: found})
    for event in ORDER:
        wanted_n, found_n = said.occurrences.get(event, 0) if said else 0, came.occurrences[event]
        if wanted_n != found_n:
            yield Value(label_within(event), wanted_n, found_n)
