"""An advance town by town: how far each is, and what became of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from django.db.models import Count, Q, QuerySet

from jobs.models import Job, ScheduleRow
from jobs.states import State
from jobs.world.growth import GrowthType
from jobs.world.occurrences import ORDER
from ops.reads.advance_counts import ByState
from ops.reads.advance_outcomes import read_outcomes
from ops.reads.forecast import Value, values_of

PAGE: Final = 25
SHOWN: Final[tuple[str, ...]] = ("level", "population", "resources")  #: of a settlement


@dataclass(slots=True)
class TownProgress(ByState):
    """A settlement with its structures."""

    id: str
    name: str
    counts: Counter[State] = field(default_factory=Counter)
    values: Sequence[Value] = ()


class Towns:
    """The towns of an advance, by name; `jobs` are all of the advance's."""

    def __init__(self, campaign_id: str, jobs: QuerySet[Job]) -> None:
        self._campaign_id = campaign_id
        self._jobs = jobs

    @cached_property
    def all(self) -> list[TownProgress]:
        """Without what became of them."""
        names, towns = self._households
        found: dict[str, TownProgress] = {}
        groups = self._jobs.exclude(clock_due="").order_by().values_list("subject", "state").annotate(n=Count("id"))
        for subject, state, n in groups:
            entity_id, _, event = subject.rpartition(":")
            if event in ORDER:
                town = towns.get(entity_id, entity_id)
                one = found.setdefault(town, TownProgress(town, names.get(town) or town))
                one.counts[State(state)] += n
        return sorted(found.values(), key=lambda one: (one.name, one.id))

    def page(self, start: int) -> list[TownProgress]:
        """Some of them, with their levels, population and resources before and after."""
        page = self.all[start : start + PAGE]
        subjects = [f"{town.id}:{event.value}" for town in page for event in GrowthType]
        outcomes = read_outcomes(self._jobs.filter(subject__in=subjects)) if page else {}
        for town in page:
            if outcome := outcomes.get(town.id):
                before, after = ({n: one[n] for n in SHOWN if n in one} for one in (outcome.before, outcome.after))
                town.values = values_of(before, after)
        return page

    @cached_property
    def _households(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The names of entities, and the towns of structures, by ID."""
        rows = ScheduleRow.objects.filter(campaign_id=self._campaign_id, clock="world").order_by()
        names: dict[str, str] = {}
        towns: dict[str, str] = {}
        for entity_id, household, name in rows.values_list("entity_id", "household", "entity_name").distinct():
            names[entity_id] = name
            towns[entity_id] = household or entity_id
        return names, towns


def of_town(town_id: str) -> Q:
    """Selects the jobs of a settlement and of its structures."""
    rows = ScheduleRow.objects.filter(household=town_id).order_by()
    entities = {town_id, *rows.values_list("entity_id", flat=True)}
    return Q(subject__in=[f"{entity_id}:{event}" for entity_id in sorted(entities) for event in ORDER])
