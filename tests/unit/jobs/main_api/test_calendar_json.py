"""Calendars as the main API serves them: what is sound is read, what is not names its field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.main_api.calendar_json import read_calendars
from jobs.world.calendars.calendar import FIRST
from jobs.world.clock import WorldTime
from sandbox.seed import CALENDAR

SOUND = {"name": "Plain", "monthsPerYear": 2, "daysPerMonth": [30, 31], "monthNames": ["One", "Two"]}
#: JSON of any kind, below the names that a calendar has.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(CALENDAR)), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "served",
    [{"calendars": [SOUND]}, [SOUND], json.dumps({"calendars": [SOUND]}), {"calendars": [SOUND, None]}],
    ids=["map", "list", "text", "more"],
)
def test_the_first_sound_calendar_is_read(served: object) -> None:
    """As a map, a list or their text."""
    calendar, fault = read_calendars(served)

    assert calendar
    assert fault == ""
    assert [(month.name, month.days) for month in calendar.months] == [("One", 30), ("Two", 31)]
    assert (calendar.name, calendar.epoch, calendar.hours_per_day) == ("Plain", FIRST, 24)


@pytest.mark.parametrize("served", [None, "", {}, {"calendars": []}, {"calendars": None}, []])
def test_a_world_may_have_no_calendar(served: object) -> None:
    """That is no fault."""
    assert read_calendars(served) == (None, "")


FAULTS: list[tuple[Any, str]] = [
    (SOUND | {"daysPerMonth": [30]}, "calendar 1: daysPerMonth: 1 of 2 months"),
    (SOUND | {"monthNames": ["One"]}, "monthNames: 1 of 2 months"),
    (SOUND | {"monthNames": ["One", "one"]}, "months: 'one' is there twice"),
    (SOUND | {"monthNames": ["One", 2]}, "monthNames: expected a text, not 2"),
    (SOUND | {"daysPerMonth": [30, "31"]}, "daysPerMonth: expected a whole number, not '31'"),
    (SOUND | {"daysPerMonth": [30, True]}, "daysPerMonth: expected a whole number, not True"),
    (SOUND | {"daysPerMonth": [30, -1]}, "months: Two: days must be 0 to 1,000"),
    (SOUND | {"daysPerMonth": 30}, "daysPerMonth: expected a list, not 30"),
    (SOUND | {"monthsPerYear": 10**9}, "monthsPerYear: at most 60"),
    (SOUND | {"name": 7}, "name: expected a text, not 7"),
    ("Gregorian", "expected an object, not 'Gregorian'"),
]


@pytest.mark.parametrize(("wrong", "fault"), FAULTS)
def test_a_wrong_calendar_costs_only_itself(wrong: object, fault: str) -> None:
    """Its field is named, and the next one of the world counts."""
    nothing, alone = read_calendars({"calendars": [wrong]})
    calendar, beside = read_calendars({"calendars": [wrong, SOUND]})

    assert nothing is None
    assert fault in alone
    assert calendar
    assert beside == alone


@pytest.mark.parametrize(
    ("epoch", "begins"),
    [
        ("1000-01-01", "1000-01-01T00:00:00Z"),
        ("1000-01-01T06:00:00.000Z", "1000-01-01T06:00:00Z"),
        ("-18869738400000", "1372-01-16T06:00:00Z"),
        ("the founding of the city", "0001-01-01T00:00:00Z"),
        (None, "0001-01-01T00:00:00Z"),
    ],
)
def test_an_epoch_is_a_time_or_words(epoch: object, begins: str) -> None:
    """A time is where the year 1 begins; words say nothing of that."""
    calendar, _ = read_calendars([SOUND | {"epoch": epoch}])

    assert calendar
    assert calendar.epoch == WorldTime.parse(begins)


@given(st.one_of(values, st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(CALENDAR, values)), max_size=3)))
def test_any_json_is_a_calendar_or_a_fault(served: object) -> None:
    """Nothing else is raised."""
    calendar, fault = read_calendars(served)

    assert calendar or fault or not served or served == {"calendars": None} or isinstance(served, dict)
