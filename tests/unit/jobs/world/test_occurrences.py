"""The occurrences of a household, one by one: the same as those of a simulation that goes step by step."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice, pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from jobs.world.clock import WorldTime, ticks_of
from jobs.world.household import Household, advance
from jobs.world.marks import KEY
from jobs.world.occurrences import ORDER, Occurrence, Slot, Steps, count_between, slots_of
from tests.support.households import START, StepByStep, households, make_entity, periods

Series = dict[str, Any]
FIRST_HARVEST = {"resources": {"food": 10, "gold": 5, "materials": 3}}


def series(household: Household[WorldTime], until: WorldTime) -> Series:
    """Of all entities, up to `until`."""
    assert household.settlement
    town, buildings = advance(household, until)
    assert town
    return {household.settlement.id: town.series, **{i: after.series for i, after in buildings.items()}}


def occurrences(household: Household[WorldTime], slots: Iterable[Slot]) -> Iterator[Occurrence[WorldTime]]:
    steps = Steps(household, WorldTime)
    return (steps.occurrence(slot) for slot in slots)


AT_THE_LEVEL_UP = {"population": 907, "resourceGenerationIntervalMinutes": 60.5}


@given(households(), periods)
@example(
    Household(settlement=make_entity("town", 0, AT_THE_LEVEL_UP, timedelta(0))),
    [WorldTime(START.at + timedelta(hours=2))],
)
def test_every_occurrence_is_listed_in_the_order_of_things_with_its_change(
    household: Household[WorldTime], readings: list[WorldTime]
) -> None:
    assert household.settlement
    until, town = readings[-1], household.settlement.id
    found = list(occurrences(household, slots_of(series(household, until))))
    steps = StepByStep(household)
    (level, variables), buildings = steps.run(until)
    # resources that a level-up makes due at once stand before it, as all of the same moment do
    expected_slots = sorted((at, ORDER.index(event), i or town) for at, event, i in steps.occurred)
    assert [(one.at.at, one.slot.rank, one.slot.entity_id) for one in found] == expected_slots
    entities = {town: household.settlement, **household.structures}
    values = {i: {"level": entity.level, **entity.variables} for i, entity in entities.items()}
    for one in found:
        own = values[one.slot.entity_id]
        assert {name: own[name] for name in one.before} == one.before
        for gone in one.before.keys() - one.after.keys():
            del own[gone]
        own.update(one.after)
    expected = {town: {"level": level, **variables}}
    expected |= {i: {"level": own_level, **own} for i, (own_level, own) in buildings.items()}
    shown = {i: {name: v for name, v in own.items() if name != KEY} for i, own in values.items()}
    assert shown == expected


@given(households(), periods, st.data())
def test_from_any_slot_on_the_occurrences_are_the_same(
    household: Household[WorldTime], readings: list[WorldTime], data: st.DataObject
) -> None:
    every = series(household, readings[-1])
    slots = list(slots_of(every))
    if not slots:
        return
    n = data.draw(st.integers(0, len(slots) - 1), label="after")
    rest = list(slots_of(every, slots[n]))
    assert rest == slots[n + 1 :]
    whole = list(occurrences(household, slots))
    assert list(occurrences(household, rest)) == whole[n + 1 :]


@given(households(), periods)
def test_counts_need_no_slots(household: Household[WorldTime], readings: list[WorldTime]) -> None:
    every = series(household, readings[-1])
    bounds = [ticks_of(START) - 10**9, *(ticks_of(reading) for reading in readings)]
    for after, until in pairwise(bounds):
        counted = sum(count_between(own, after, until) for own in every.values())
        assert counted == sum(after < slot.at <= until for slot in slots_of(every))


def test_a_century_is_not_calculated_for_its_first_occurrences() -> None:
    """876,000 growths of a town, and the first ten of them."""
    household = Household(settlement=make_entity("town", 1, {}, timedelta(0)))
    slots = slots_of(series(household, WorldTime(START.at + timedelta(days=36_500))))
    first = list(islice(occurrences(household, slots), 10))
    assert [one.at.at - START.at for one in first] == [timedelta(hours=1 + n // 3) for n in range(10)]
    assert [one.after for one in first[:4]] == [{"population": 105}, FIRST_HARVEST, {}, {"population": 110}]
