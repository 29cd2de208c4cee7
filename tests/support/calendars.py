"""Calendars of any sane kind, for hypothesis."""

from hypothesis import strategies as st

from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.parts import LeapRule, Month
from tests.support.worlds import moments

_LETTERS = "abcABCéß'- 12"
names = st.builds(
    lambda first, rest: " ".join((first + rest).split()),
    st.sampled_from("abcABÉMoon"),
    st.text(_LETTERS, max_size=8),
)


def _leap_rules(months: list[Month]) -> st.SearchStrategy[list[LeapRule]]:
    every = st.lists(st.integers(2, 9), min_size=1, max_size=3).map(
        lambda factors: tuple(_product(factors[: n + 1]) for n in range(len(factors)))
    )
    names_of_months = st.sampled_from([month.name for month in months])
    rule = st.builds(LeapRule, month=names_of_months, every=every, days=st.integers(1, 40), first=st.integers(-50, 50))
    return st.lists(rule, max_size=4)


def _product(factors: list[int]) -> int:
    result = 1
    for factor in factors:
        result *= factor
    return result


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Months 1 to 40 of 0 to 400 days, some between the months or out of the week, days of 1 to 100 hours."""
    month = st.builds(
        Month, name=names, days=st.integers(0, 400), intercalary=st.booleans(), in_week=st.integers(0, 4).map(bool)
    )
    some = st.lists(month, min_size=1, max_size=40, unique_by=lambda one: one.name.casefold())
    months = draw(some.filter(lambda found: any(one.days for one in found)))
    weekdays = draw(st.lists(names, max_size=10, unique_by=lambda one: one.casefold()))
    return Calendar(
        name="Any",
        months=tuple(months),
        weekdays=tuple(weekdays),
        hours_per_day=draw(st.integers(1, 100)),
        leap_rules=tuple(draw(_leap_rules(months))),
        epoch=draw(moments),
        epoch_year=draw(st.integers(-5000, 5000)),
        first_weekday=draw(st.integers(0, max(0, len(weekdays) - 1))),
        era=draw(st.sampled_from(["", "AF"])),
        era_before=draw(st.sampled_from(["", "BF", "before AF"])),
    )
