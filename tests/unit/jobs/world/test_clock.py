"""Moments on the two clocks."""

from datetime import UTC, datetime

import pytest
from hypothesis import given

from jobs.world.clock import WallTime, WorldTime
from tests.support.worlds import moments


@given(moments)
def test_moments_round_trip_through_text(moment: WorldTime) -> None:
    """parse(isoformat(x)) == x in every year from 1 to 9999."""
    assert WorldTime.parse(moment.isoformat()) == moment


def test_clocks_cannot_be_mixed_up() -> None:
    """Comparing wall-clock time with world time is a TypeError; a naive time is no moment."""
    now = datetime(2026, 1, 1, tzinfo=UTC)

    with pytest.raises(TypeError):
        _ = WallTime(now) < WorldTime(now)  # type: ignore[operator]
    assert WallTime(now) != WorldTime(now)  # type: ignore[comparison-overlap]
    with pytest.raises(ValueError, match="offset"):
        WallTime(datetime(2026, 1, 1))  # noqa: DTZ001 - it must fail
    with pytest.raises(ValueError, match="yesterday"):
        WorldTime.parse("yesterday")
