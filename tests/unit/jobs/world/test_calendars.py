"""The laws of calendars: for the built-in ones and any sane one, over years -10,000 to +10,000."""

import calendar as gregorian
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.checks import InvalidCalendar
from jobs.world.calendars.examples import EXAMPLES, GREGORIAN, LANTERN, TIDES
from jobs.world.calendars.parts import Date, LeapRule, Month
from jobs.world.calendars.text import format_date, format_world_time, parse_date, parse_world_time
from jobs.world.clock import WorldTime, ticks_of
from tests.support.calendars import calendars
from tests.support.worlds import moments

some = st.one_of(st.sampled_from(list(EXAMPLES.values())), calendars())
years = st.integers(-10_000, 10_000)


@st.composite
def dated(draw: st.DrawFn) -> tuple[Calendar, Date]:
    """A calendar with a date of it."""
    calendar, year = draw(some), draw(years)
    lengths = calendar.lengths(year)
    month = draw(st.sampled_from([place for place, length in enumerate(lengths) if length]))
    day, hour = draw(st.integers(1, lengths[month])), draw(st.integers(0, calendar.hours_per_day - 1))
    minute, second = draw(st.integers(0, 59)), draw(st.integers(0, 59))
    return calendar, Date(year, month, day, hour, minute, second, draw(st.integers(0, 999_999)))


@given(dated())
def test_a_date_becomes_ticks_and_text_and_the_same_date_again(one: tuple[Calendar, Date]) -> None:
    """Nothing is rounded, and a text is read back in every calendar, whatever its months are called."""
    calendar, date = one
    ticks = calendar.from_date(date)
    assert calendar.to_date(ticks) == date
    assert parse_date(calendar, format_date(calendar, ticks, precise=True)) == ticks
    assert ticks - parse_date(calendar, format_date(calendar, ticks)) == date.second * 1_000_000 + date.microsecond


@given(some, st.integers(-(10**18), 10**18))
def test_ticks_become_a_date_and_the_same_ticks_again(calendar: Calendar, ticks: int) -> None:
    """from_date(to_date(ticks)) == ticks."""
    assert calendar.from_date(calendar.to_date(ticks)) == ticks


@given(dated(), st.integers(0, 99), st.integers(0, 59))
def test_a_time_of_day_comes_within_a_day(one: tuple[Calendar, Date], hour: int, minute: int) -> None:
    """Later than now, at most a day, and its clocks show it to the microsecond."""
    calendar, date = one
    now = calendar.from_date(date)
    if hour >= calendar.hours_per_day:
        with pytest.raises(ValueError, match="hour: must be 0 to"):
            calendar.next_time_of_day(now, hour, minute)
        return
    found = calendar.next_time_of_day(now, hour, minute)
    shown = calendar.to_date(found)

    assert 0 < found - now <= calendar.day
    assert (shown.hour, shown.minute, shown.second, shown.microsecond) == (hour, minute, 0, 0)


@given(dated(), st.integers(0, 10**17))
def test_days_follow_each_other(one: tuple[Calendar, Date], by: int) -> None:
    """After a day comes the next of its month, or the first of the next; no weekday is left out; order is kept."""
    calendar, date = one
    ticks = calendar.from_date(date)
    assert (calendar.to_date(ticks + by) > date) == (by > 0)
    following = calendar.to_date(ticks + calendar.day)
    lengths = calendar.lengths(date.year)
    if date.day < lengths[date.month]:
        assert following == replace(date, day=date.day + 1)
    else:
        later = [month for month, length in enumerate(lengths) if length and month > date.month]
        year = date.year if later else date.year + 1
        first = later[0] if later else _first_month(calendar, year)
        assert following == replace(date, year=year, month=first, day=1)
    if (today := calendar.weekday(date)) and (tomorrow := calendar.weekday(following)):
        _assert_next_in_week(calendar, today, tomorrow)


@given(some, years)
def test_the_week_goes_on_over_days_without_a_weekday(calendar: Calendar, year: int) -> None:
    """The last day of a year that has a weekday and the first such day of the next follow each other."""
    days = [_days_with_weekday(calendar, year), _days_with_weekday(calendar, year + 1)]
    if calendar.weekdays and all(days):
        _assert_next_in_week(calendar, calendar.weekday(days[0][-1]), calendar.weekday(days[1][0]))


def _first_month(calendar: Calendar, year: int) -> int:
    return next(month for month, length in enumerate(calendar.lengths(year)) if length)


def _days_with_weekday(calendar: Calendar, year: int) -> list[Date]:
    """The first and last day of each month in the week."""
    lengths = enumerate(calendar.lengths(year))
    return [Date(year, m, day) for m, n in lengths if n and calendar.months[m].in_week for day in (1, n)]


def _assert_next_in_week(calendar: Calendar, today: str, tomorrow: str) -> None:
    week = calendar.weekdays
    assert tomorrow == week[(week.index(today) + 1) % len(week)]


@given(moments)
def test_the_gregorian_calendar_is_that_of_iso_8601(moment: WorldTime) -> None:
    """The same year, month, day, time and weekday as Python's own."""
    date, at = GREGORIAN.to_date(ticks_of(moment)), moment.at
    assert date == Date(at.year, at.month - 1, at.day, at.hour, at.minute, at.second, at.microsecond)
    assert GREGORIAN.weekday(date) == gregorian.day_name[at.weekday()]


@given(st.sampled_from(list(EXAMPLES.values())), moments)
def test_iso_8601_is_read_in_every_calendar(calendar: Calendar, moment: WorldTime) -> None:
    """With Z, with an offset, and without, which is UTC."""
    for text in (moment.isoformat(), moment.at.isoformat(), moment.at.replace(tzinfo=None).isoformat(" ")):
        assert parse_world_time(calendar, text) == moment


def test_dates_by_hand() -> None:
    """Worked out on paper: a festival, a leap month, shorter days, years before the epoch."""
    noon = WorldTime(datetime(1, 6, 18, 12, tzinfo=UTC))  # day 169: six months of 28 days have passed
    assert format_world_time(LANTERN, noon) == "Lantern Night 1 LC, 12:00"
    assert LANTERN.weekday(LANTERN.to_date(ticks_of(noon))) == ""
    fifth_year = LANTERN.from_date(Date(5, 0))
    assert fifth_year - LANTERN.from_date(Date(4, 0)) == 366 * LANTERN.day
    assert (
        format_date(LANTERN, ticks_of(WorldTime(datetime(1, 1, 1, tzinfo=UTC))) - 1)
        == "28 Stillsnow 1 before LC, 23:59"
    )
    assert [sum(TIDES.lengths(year)) for year in (1, 3, 27, 30, 33)] == [324, 360, 360, 324, 360]
    ten_hours_on = WorldTime(datetime(1000, 1, 1, 10, tzinfo=UTC))
    assert format_world_time(TIDES, ten_hours_on) == "2 First Ebb 1, 00:00"
    assert parse_date(GREGORIAN, "1 January 1 BCE") == -366 * GREGORIAN.day


VARIANTS = [
    (GREGORIAN, "12 March 1372, 18:00", "1372-03-12T18:00Z"),
    (GREGORIAN, "12 march 1372 18:00", "1372-03-12T18:00Z"),
    (GREGORIAN, "12th of March, 1372, at 18:00:05.5", "1372-03-12T18:00:05.5Z"),
    (GREGORIAN, "  12.  Mar  1372 ", "1372-03-12T00:00Z"),
    (GREGORIAN, "March 12, 1372, 18:00", "1372-03-12T18:00Z"),
    (GREGORIAN, "Thursday, 12 March 1372, 18:00", "1372-03-12T18:00Z"),
    (GREGORIAN, "1372-03-12", "1372-03-12T00:00Z"),
    (GREGORIAN, "1372-03-12T18:00+02:00", "1372-03-12T16:00Z"),
    (LANTERN, "Lantern Night 1 lc, 7:30", "0001-06-18T07:30Z"),
    (LANTERN, "2 Lantern Night 4LC", "0004-06-18T00:00Z"),
]


@pytest.mark.parametrize(("calendar", "text", "iso"), VARIANTS)
def test_what_people_write_is_read(calendar: Calendar, text: str, iso: str) -> None:
    """Day or month first, ordinals, a shortened month, the weekday, any case, with or without a time."""
    assert parse_world_time(calendar, text) == WorldTime.parse(iso)


FAULTS = [
    (GREGORIAN, "31 June 1372", "day: June has days 1 to 30 in that year, not 31"),
    (GREGORIAN, "29 February 1371", "day: February has days 1 to 28"),
    (GREGORIAN, "12 Ma 1372", "month: 'Ma' is more than one of March, May"),
    (GREGORIAN, "12 Mirtul 1372", "month: 'Mirtul' is none of January, February"),
    (GREGORIAN, "March 1372", "day: which of the 31 days of March"),
    (GREGORIAN, "12 March 1372, 24:00", "hour: must be 0 to 23, not 24"),
    (GREGORIAN, "12 March 1372, 18:60", "minute: must be 0 to 59, not 60"),
    (GREGORIAN, "12 March -3", "year: years before 1 are written as 4 BCE"),
    (GREGORIAN, "Monday, 12 March 1372", "weekday: 12 March 1372, 00:00 is a Thursday, not a Monday"),
    (GREGORIAN, "12 March 10000", "outside the years 0001 to 9999"),
    (GREGORIAN, "12 March 3 BCE", "outside the years 0001 to 9999"),
    (GREGORIAN, "1372-13-01", "is not an ISO 8601 time"),
    (GREGORIAN, "tomorrow", "is not a date such as '1 January 1, 00:00', nor ISO 8601"),
    (GREGORIAN, "", "is not a date such as"),
    (GREGORIAN, "1" * 300, "at most 200 characters"),
    (TIDES, "1 Deeptide 400", "month: Deeptide does not occur in the year 400"),
    (TIDES, "1 Saltwind 400, 10:00", "hour: must be 0 to 9, not 10"),
    (LANTERN, "Plowday, 1 Lantern Night 5", "is no day of the week, not a Plowday"),
]


@pytest.mark.parametrize(("calendar", "text", "fault"), FAULTS)
def test_a_wrong_date_names_its_part(calendar: Calendar, text: str, fault: str) -> None:
    """Nothing is guessed: what does not exist is a ValueError that says what is wrong."""
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse_world_time(calendar, text)


MONTHS = (Month("One", 30), Month("Two", 30))
UNSOUND: list[tuple[str, dict[str, Any]]] = [
    ("name", {"name": ""}),
    ("months", {"months": ()}),
    ("months", {"months": (Month("One", 0),)}),
    ("months", {"months": (Month("One", 1001),)}),
    ("months", {"months": (Month("One", -1),)}),
    ("months", {"months": (Month("One", 1), Month("ONE", 1))}),
    ("months", {"months": (Month("1st", 1),)}),
    ("months", {"months": (Month("a:b", 1),)}),
    ("months", {"months": (Month("a\nb", 1),)}),
    ("months", {"months": (Month("a" * 61, 1),)}),
    ("weekdays", {"weekdays": ("Day", "day")}),
    ("hours_per_day", {"hours_per_day": 0}),
    ("hours_per_day", {"hours_per_day": 101}),
    ("leap_rules", {"leap_rules": (LeapRule("Three", (4,)),)}),
    ("leap_rules", {"leap_rules": (LeapRule("One", ()),)}),
    ("leap_rules", {"leap_rules": (LeapRule("One", (0,)),)}),
    ("leap_rules", {"leap_rules": (LeapRule("One", (4, 6)),)}),
    ("leap_rules", {"leap_rules": (LeapRule("One", (4,), days=0),)}),
    ("first_weekday", {"first_weekday": 1}),
    ("epoch_year", {"epoch_year": 10**9}),
    ("era", {"era": "A1"}),
    ("era_before", {"era": "AF", "era_before": "af"}),
]


@pytest.mark.parametrize(("field", "wrong"), UNSOUND)
def test_an_unsound_calendar_names_its_field(field: str, wrong: dict[str, Any]) -> None:
    """There is no calendar whose dates cannot be counted or told apart."""
    with pytest.raises(InvalidCalendar) as raised:
        Calendar(**{"name": "Any", "months": MONTHS, **wrong})
    assert raised.value.field == field
