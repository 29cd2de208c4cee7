"""How settlements grow. n occurrences at once have the same result as n in turn."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from jobs.world.change import Change
from jobs.world.due import interval
from jobs.world.exact import exact, plain
from jobs.world.variables import SettlementVariables, abbreviate, is_number

PEOPLE_PER_LEVEL: Final = 500


class GrowthType(StrEnum):
    """The kinds of growth of a settlement."""

    POPULATION_GROWTH = "POPULATION_GROWTH"
    RESOURCE_GENERATION = "RESOURCE_GENERATION"
    LEVEL_UP_CHECK = "LEVEL_UP_CHECK"


@dataclass(frozen=True, slots=True)
class StructureStatus:
    """What a level-up check needs to know about a structure."""

    type: str
    operational: bool


def settlement_intervals(level: int, variables: object) -> dict[GrowthType, timedelta]:
    """The interval of each kind of growth; level-ups are checked as often as the population grows."""
    read, _ = SettlementVariables.read(variables)
    return intervals_at(level, read)


def intervals_at(level: int, read: SettlementVariables) -> dict[GrowthType, timedelta]:
    """The interval of each kind of growth at `level`."""
    population = interval(timedelta(minutes=read.population_growth_interval_minutes), level)
    resources = interval(timedelta(minutes=read.resource_generation_interval_minutes), level)
    return {
        GrowthType.POPULATION_GROWTH: population,
        GrowthType.RESOURCE_GENERATION: resources,
        GrowthType.LEVEL_UP_CHECK: population,
    }


def grow(
    growth_type: GrowthType,
    *,
    level: int,
    variables: Mapping[str, Any],
    structures: Collection[StructureStatus],
    occurrences: int,
) -> Change:
    """Apply `occurrences` of `growth_type` to a settlement; unknown variables are kept."""
    read, warnings = SettlementVariables.read(variables)
    match growth_type:
        case GrowthType.POPULATION_GROWTH:
            after = grow_population(
                read.population, read.population_cap, read.population_growth_rate, occurrences=occurrences
            )
            summary = f"population {read.population} → {after}"
            return Change(level, {**variables, "population": after}, summary, warnings)
        case GrowthType.RESOURCE_GENERATION:
            resources, unusable = generate(read, occurrences)
            changed = {**variables, "resources": resources}
            return Change(level, changed, amounts_in_words(read, resources), [*warnings, *unusable])
        case GrowthType.LEVEL_UP_CHECK:
            after = _level_after(level, read, structures, occurrences)
            summary = f"level {level} → {after}" if after != level else f"stays at level {level}"
            return Change(after, dict(variables), summary, warnings)


def grow_population(population: int, cap: int, rate: float, *, occurrences: int) -> int:
    """Apply min(cap, population * (1 + rate)), rounded half up, once per occurrence; never shrinks.

    >>> grow_population(100, 1000, 0.05, occurrences=3)
    116
    >>> grow_population(990, 1000, 0.05, occurrences=1)
    1000
    """
    return _grow(population, cap, cap, rate, occurrences)[0]


def occurrences_until(target: int, population: int, cap: int, rate: float, *, most: int) -> int | None:
    """Count the occurrences after which the population is at least `target`; None if `most` are too few.

    >>> occurrences_until(110, 100, 1000, 0.05, most=10)
    2
    """
    if target > max(cap, population):
        return None
    after, used = _grow(population, target, cap, rate, most)
    return used if after >= target else None


@lru_cache(maxsize=4096)  # a settlement is calculated several times: for its structures' checks, its levels, itself
def _grow(population: int, target: int, cap: int, rate: float, most: int) -> tuple[int, int]:
    """Grow until `target` is reached, at most `most` times. Returns the population and the number of times."""
    above, below = exact(rate).as_integer_ratio()
    used = 0
    while used < most and population < target:
        # Rounded half up in integers: floor(population * above / below + 1/2), exact for any size.
        gain = (2 * population * above + below) // (2 * below)
        if not gain:  # the population no longer changes
            return population, most
        # The gain stays the same until the population reaches `more`: apply all these occurrences at once.
        more = min(target, -(-below * (2 * gain + 1) // (2 * above)))
        times = min(most - used, max(1, -((population - more) // gain)))
        population, used = min(cap, population + gain * times), used + times
    return population, used


def generate(read: SettlementVariables, occurrences: int) -> tuple[dict[str, Any], list[str]]:
    """Add to each resource what `occurrences` generate. Returns the resources, and a warning for each unusable one.

    What is no number stays as it is: it may be an amount that somebody can still read, such as "100".
    """
    resources, warnings = dict(read.resources), []
    for name in dict.fromkeys(read.resource_types):
        held = resources.get(name)
        if held is None:
            held = 0
        if is_number(held):
            resources[name] = plain(exact(held) + exact(read.generation_rates.get(name, 0)) * occurrences)
        else:
            warnings.append(f"resources.{name}: expected a number, got {abbreviate(held)}: it is left as it is")
    return resources, warnings


def amounts_in_words(read: SettlementVariables, resources: Mapping[str, Any]) -> str:
    """The resources that are generated, such as "food 130, gold 15"."""
    return ", ".join(f"{name} {resources[name]}" for name in read.resource_types if is_number(resources.get(name)))


def _level_after(level: int, read: SettlementVariables, structures: Collection[StructureStatus], checks: int) -> int:
    """At most one level per check, while the population is large enough and all required structures work."""
    working = {structure.type for structure in structures if structure.operational}
    if not working.issuperset(read.required_structures_for_level_up):
        return level
    highest = read.population // PEOPLE_PER_LEVEL - 1  # the highest level that can still level up
    return max(level, min(level + checks, highest + 1))
