"""Quiet hours: times of day on the zone's wall clocks, days of daylight saving included."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.world.quiet_hours import QuietHours, format_ranges, parse_ranges
from tests.support.clocks import MINUTE, SPRING, quiet_hours, starts


@given(quiet_hours, starts, st.integers(0, 1500))
@example(QuietHours(ZoneInfo("Europe/Berlin"), parse_ranges("02:30-05:00")), SPRING, 1440)
def test_open_time_is_what_the_wall_clocks_say(quiet: QuietHours, start: datetime, minutes: int) -> None:
    """Minute by minute; `after` is its inverse, and `next_open` its first moment."""
    moments = [start + MINUTE * n for n in range(minutes)]
    expected = MINUTE * sum(not quiet.is_quiet(at) for at in moments)
    first = quiet.next_open(start)

    assert quiet.open_time(start, start + MINUTE * minutes) == expected
    assert quiet.open_time(start, quiet.after(start, expected)) == expected
    assert not quiet.is_quiet(first)
    assert quiet.open_time(start, first) == timedelta()


@pytest.mark.parametrize(
    ("zone", "ranges", "start", "hours", "open_hours"),
    [
        ("Europe/Berlin", "22:00-08:00", datetime(2026, 3, 28, 20, tzinfo=UTC), 24, 15),  # a day of 23 hours
        ("Europe/Berlin", "22:00-08:00", datetime(2026, 10, 24, 20, tzinfo=UTC), 24, 13),  # a day of 25 hours
        ("Europe/Berlin", "02:30-03:00", datetime(2026, 3, 29, 0, tzinfo=UTC), 3, 3),  # half of the skipped hour
        ("Europe/Berlin", "02:30-03:00", datetime(2026, 10, 25, 0, tzinfo=UTC), 3, 2),  # the repeated hour, twice
        ("UTC", "", datetime(2026, 1, 1, tzinfo=UTC), 24, 24),
    ],
    ids=str,
)
def test_daylight_saving(zone: str, ranges: str, start: datetime, hours: int, open_hours: int) -> None:
    quiet = QuietHours(ZoneInfo(zone), parse_ranges(ranges))

    assert quiet.open_time(start, start + timedelta(hours=hours)) == timedelta(hours=open_hours)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("22-8", "is not like"),
        ("24:00-08:00", "is not like"),
        ("22:00-08:00,", "is not like"),
        ("٢٢:00-08:00", "is not like"),
        ("08:00-08:00", "same time"),
        ("08:00-07:59", "less than an hour"),
        (", ".join(["01:00-02:00"] * 13), "at most 12"),
    ],
)
def test_wrong_ranges_are_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_ranges(text)


@given(quiet_hours)
def test_ranges_survive_their_text(quiet: QuietHours) -> None:
    assert parse_ranges(format_ranges(quiet.ranges)) == quiet.ranges
