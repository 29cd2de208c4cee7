"""Hypothesis strategies of the world."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from jobs.world.clock import WorldTime

events = st.integers(1, 30)
amounts = st.integers(0, 10_000) | st.floats(0, 1000).map(lambda x: round(x, 2))
_ALL_OF_TIME = st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29))  # noqa: DTZ001 - hypothesis
moments = _ALL_OF_TIME.map(lambda m: WorldTime(m.replace(tzinfo=UTC)))
