"""Cron expressions: validation, next matches across daylight saving, and descriptions."""

import re
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim.explain import explain
from hypothesis import given
from hypothesis import strategies as st

from scheduler_project.cron_expression import fires, newest_matches, next_match
from scheduler_project.cron_sentence import sentence

# Their clocks change by whole hours: Lord Howe changes by half an hour, and there "30 * * * *" misses a firing a year.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Kolkata",
]
RANGES = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
NAMES = {
    3: ["L", "LW", "1,L"],
    4: ["jan", "FEB-apr", "Dec"],
    5: ["MON", "sun", "7", "mon-fri", "5L", "FRI#2", "7#1"],
}


def part(index: int) -> st.SearchStrategy[str]:
    """A value, a range or a step of the field."""
    low, high = RANGES[index]
    value = st.integers(low, high)
    ranges = st.tuples(value, value).map(lambda ends: f"{min(ends)}-{max(ends)}")
    steps = st.builds("{}/{}".format, st.one_of(st.just("*"), value, ranges), st.integers(0, high + 2))
    return st.one_of(value.map(str), ranges, steps, st.just("*"), st.sampled_from(NAMES.get(index, ["*"])))


FIELDS = [st.one_of(st.just("*"), st.lists(part(n), min_size=1, max_size=2).map(",".join)) for n in range(6)]
EXPRESSIONS = st.one_of(st.tuples(*FIELDS[1:]), st.tuples(*FIELDS)).map(" ".join)
ODD_LETTERS = "0123456789*/-,#LW?RH@MONjaul \t\n\0\u00a0\u0661\uff11\u00b2\u017f\u0131"
ODD_TEXTS = st.one_of(st.text(), st.text(ODD_LETTERS, max_size=40))
CHANGES = [datetime(2026, month, day, hour, tzinfo=UTC) for month, day, hour in [(3, 28, 20), (10, 24, 18), (11, 1, 0)]]
AT_CHANGES = st.builds(
    lambda day, late: day + late, st.sampled_from(CHANGES), st.timedeltas(timedelta(0), timedelta(hours=10))
)
AT_ANY_TIME = st.floats(0, 20 * 365.0).map(lambda days: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=days))
MOMENTS = st.one_of(AT_ANY_TIME, AT_CHANGES)


@given(st.one_of(ODD_TEXTS, EXPRESSIONS), st.sampled_from(ZONES), MOMENTS)
def test_any_expression_is_rejected_or_fires(text: str, zone: str, after: datetime) -> None:
    """Accepted ones have a next match and a description; others raise ValueError only."""
    if fires(text):
        assert next_match(text, zone, after) > after
        assert sentence(text)
    else:
        with pytest.raises(ValueError, match=r"is not a cron expression|exceeds its range|never matches"):
            next_match(text, zone, after)
        assert isinstance(sentence(text), str)


@given(EXPRESSIONS.filter(fires), st.sampled_from(ZONES), MOMENTS, st.floats(0, 0.999))
def test_matches_are_in_order_and_none_is_skipped(expression: str, zone: str, after: datetime, share: float) -> None:
    """From any moment between, the next match is the same."""
    first = next_match(expression, zone, after)

    assert first.tzinfo is UTC
    assert next_match(expression, zone, after + (first - after) * share) == first
    assert next_match(expression, zone, first) > first


@given(
    EXPRESSIONS.filter(fires) | st.sampled_from(["* 9-17 * * *", "* * * * * 6,0", "*/7 * 1,2 * *"]),
    st.sampled_from(ZONES),
    MOMENTS,
    st.integers(0, 150),
    st.integers(1, 40),
    st.timedeltas(timedelta(0), timedelta(days=2)),
)
def test_the_newest_matches_are_the_end_of_all(
    expression: str, zone: str, after: datetime, count: int, most: int, rest: timedelta
) -> None:
    """However unevenly they lie, and however long ago the last was."""
    found, until = [], after
    for _ in range(count):
        found.append(next_match(expression, zone, until))
        until = found[-1]
    until = min(until + rest, next_match(expression, zone, until) - timedelta(microseconds=1))

    assert newest_matches(expression, zone, after, until, most) == found[-most:]


@given(st.integers(0, 59), st.integers(0, 23), st.sampled_from(ZONES), MOMENTS, st.sampled_from(["", "0-59 ", "15 "]))
def test_a_fixed_time_fires_once_per_date(minute: int, hour: int, zone: str, after: datetime, seconds: str) -> None:
    """Whatever the clocks do; of several seconds in a minute the first is checked."""
    found: list[datetime] = []
    for _ in range(4):
        found.append(next_match(f"{seconds}{minute} {hour} * * *", zone, after))
        after = found[-1] + timedelta(minutes=1 if seconds == "0-59 " else 0)
    days = [at.astimezone(ZoneInfo(zone)).date() for at in found]

    assert [day - days[0] for day in days] == [timedelta(days=n) for n in range(4)]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("minutes", "field"), [({0}, "0"), ({30}, "30"), ({0, 20, 40}, "*/20"), ({15, 45}, "15,45")])
def test_hourly_expressions_fire_every_hour(zone: str, minutes: set[int], field: str) -> None:
    """Also when the clocks change: at each minute that a clock in the zone shows, and no other."""
    at, known = datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo(zone)
    for change in [at + timedelta(hours=n) for n in range(365 * 24)]:
        if change.astimezone(known).utcoffset() == (change + timedelta(hours=1)).astimezone(known).utcoffset():
            continue
        begin, end = change - timedelta(hours=4), change + timedelta(hours=6)
        scanned = [begin + timedelta(minutes=n) for n in range(1, 601)]
        expected = [moment for moment in scanned if moment.astimezone(known).minute in minutes]
        found, moment = [], begin
        while (moment := next_match(f"{field} * * * *", zone, moment)) <= end:
            found.append(moment)
        assert found == expected


@pytest.mark.parametrize(
    ("expression", "zone", "after", "matches"),
    [
        # 02:00 to 03:00 is left out in Berlin on 29 March, and comes twice on 25 October.
        ("*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:00Z"]),
        ("2-9 * 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-30T00:00:02Z"]),
        ("30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", ["2026-03-29T01:00Z", "2026-03-29T01:30Z"]),
        ("0 */2 * * *", "Europe/Berlin", "2026-03-29T00:00Z", ["2026-03-29T01:00Z", "2026-03-29T02:00Z"]),
        ("0 */12 * * *", "Asia/Beirut", "2026-03-28T12:00Z", ["2026-03-28T22:00Z", "2026-03-29T09:00Z"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-25T00:00Z", ["2026-10-25T00:30Z", "2026-10-26T01:00Z"]),
        ("0 30 2 * * *", "Europe/Berlin", "2026-10-25T01:00Z", ["2026-10-26T01:30Z"]),
        ("0 0-23 * * *", "Europe/Berlin", "2026-10-25T00:00Z", ["2026-10-25T02:00Z", "2026-10-25T03:00Z"]),
        ("0 0 * * 7", "UTC", "2026-01-01T00:00Z", ["2026-01-04T00:00Z", "2026-01-11T00:00Z"]),
        ("0 0 LW * *", "UTC", "2026-01-01T00:00Z", ["2026-01-30T00:00Z", "2026-02-27T00:00Z"]),
        ("0 0 * * 5L", "UTC", "2026-01-01T00:00Z", ["2026-01-30T00:00Z", "2026-02-27T00:00Z"]),
        ("0 0 13 * FRI", "UTC", "2026-01-10T00:00Z", ["2026-01-13T00:00Z", "2026-01-16T00:00Z"]),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00Z", ["2104-02-29T00:00Z"]),
    ],
)
def test_next_match(expression: str, zone: str, after: str, matches: list[str]) -> None:
    """Hours, days and the ends of daylight saving, five and six fields alike."""
    moment = datetime.fromisoformat(after)
    for match in matches:
        moment = next_match(expression, zone, moment)
        assert moment == datetime.fromisoformat(match)


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 31 2 *",
        "0 0 30 2 *",
        "0 0 31 2,4 *",
        "0 0 */15 2 1#2",
        "59 59 23 */15 2 7#2",
        "* * * */15 2 1#2",
        "0 0 L/2 * *",
        "0 0 LW/2 * *",
        "0 22-2 * * *",
        "0 0 * * fri-sun",
        "0 0 ? * *",
        "0 0 15W * *",
        "0 0 * * L5",
        "0 0 * * 1#6",
        "0 0 * * FRIL",
        "0 0 * * 8",
        "0 0 0 * *",
        "60 * * * *",
        "-1 * * * *",
        "1,, * * * *",
        "@daily",
        "H * * * *",
        "\u00b2 * * * *",
        "\u0661 * * * *",
        "\uff11 * * * *",
        "9" * 5000 + " * * * *",
        "*/" + "9" * 5000 + " * * * *",
        "1-" + "9" * 4000 + " * * * *",
        "1," * 20000 + "1 1 31 2 *",
        "* " * 20000,
        "",
        " \t\n",
    ],
)
def test_expressions_that_never_match_are_rejected_soon(expression: str) -> None:
    """Impossible dates, unknown forms, numbers beyond all bounds."""
    began = time.monotonic()

    assert not fires(expression)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("*/5 * * * *", "Every fifth minute of every hour"),
        ("*/10 * * * * *", "Every 10th second of every minute"),
        ("30 0 9 * * 1-5", "At 09:00:30 on Monday through Friday"),
        ("0 0 1 1 * *", "At 01:00 on the first day of every month"),
        ("0 0 L * *", "At 00:00 on the last day of every month"),
        ("0 0 1,11,21,31 * *", "At 00:00 on the first, the 11th, the 21st, and the 31st day of month"),
        ("*/22 * * * *", "Every 22nd minute of every hour"),
        ("\t0  0 * * Mon-fri\n", "At 00:00 on Monday through Friday"),
        ("0 0 * * 7", "At 00:00 on Sunday"),
        ("0 0 1,LW jan *", "At 00:00 on the first day of month and the last weekday of the month in January"),
        ("0 9 * * fri#2", "At 09:00 on the second Friday of the month"),
        ("61 * * * *", ""),
        ("R * * * *", ""),
    ],
)
def test_expressions_are_described_in_words(expression: str, words: str) -> None:
    """The first of six fields is the seconds; 21 is the 21st."""
    assert sentence(expression) == words


@given(EXPRESSIONS)
def test_english_sentences_are_those_of_cronsim(expression: str) -> None:
    """But for its 21th, 22th and 23th."""
    if said := sentence(expression):
        theirs = re.sub(
            r"\b([2-5]([123]))th\b", lambda n: n[1] + ("st", "nd", "rd")[int(n[2]) - 1], explain(expression)
        )
        assert said == theirs
