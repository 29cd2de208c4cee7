"""World clocks and quiet hours, as hypothesis draws them."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from jobs.world.quiet_hours import QuietHours, format_ranges, parse_ranges
from jobs.world.ticking import CatchUpPolicy, Rule

MINUTE: Final = timedelta(minutes=1)
SPRING: Final = datetime(2026, 3, 28, 20, tzinfo=UTC)  #: a few hours before Europe's clocks go forward
AUTUMN: Final = datetime(2026, 10, 24, 20, tzinfo=UTC)
_ZONES: Final = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Beirut")


def _valid(ranges: tuple[tuple[time, time], ...]) -> bool:
    try:
        return parse_ranges(format_ranges(ranges)) == ranges
    except ValueError:
        return False


_times: Final = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
quiet_hours: Final = st.builds(
    QuietHours,
    st.sampled_from(_ZONES).map(ZoneInfo),
    st.lists(st.tuples(_times, _times), max_size=3).map(tuple).filter(_valid),
)
#: Around the changes of daylight saving, and anywhere; whole minutes.
starts: Final = st.builds(
    lambda base, minutes: base + MINUTE * minutes,
    st.sampled_from([SPRING, AUTUMN, datetime(2026, 1, 1, tzinfo=UTC)]),
    st.integers(0, 20_000),
)


@st.composite
def rules(draw: st.DrawFn, *, limited: bool = False) -> Rule:
    """A valid clock; `limited`: by limits that it may reach."""
    rate = draw(st.decimals("0.000001", 100_000, places=6).filter(bool))
    step = timedelta(seconds=draw(st.sampled_from([10, 60, 3600, 86_400]) | st.integers(10, 86_400)))
    least = int(rate * int(step.total_seconds())) + 1
    per_step = least * draw(st.integers(1, 5)) if limited else 10**15
    per_day = least * draw(st.integers(1, 50)) if limited else 10**15
    return Rule(
        rate=Decimal(rate),
        step=step,
        most_per_step=per_step,
        most_per_day=per_day,
        quiet=draw(quiet_hours),
        catch_up=draw(st.sampled_from(CatchUpPolicy)),
    )
