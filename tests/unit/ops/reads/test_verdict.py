"""The verdict on the service, from its components and what is overdue."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.reads.status import Component, Status
from ops.reads.verdict import ESSENTIAL, Reason, judge

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATE = Reason("a job is overdue by 2 min", since=NOON - timedelta(minutes=2))


def component(name: str, status: str = "up", since: datetime | None = None) -> Component:
    return Component(name, cast("Status", status), "as ever", since)


ALL = [component(name) for name in (*sorted(ESSENTIAL), "listener", "monitor", "breaker", "jobs")]


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({}, "healthy"),
        ({"workers": "unknown"}, "healthy"),
        ({"listener": "down"}, "degraded"),
        ({"breaker": "degraded"}, "degraded"),
        ({"main API": "degraded"}, "degraded"),
        ({"main API": "down"}, "down"),
        ({"listener": "down", "workers": "down"}, "down"),
        ({"scheduler": "down"}, "down"),
    ],
)
def test_a_service_without_an_essential_part_is_down(changed: dict[str, str], level: str) -> None:
    found = judge([component(c.name, changed.get(c.name, "up")) for c in ALL])

    assert found.level == level
    assert len(found.reasons) == sum(status != "unknown" for status in changed.values())


def test_what_is_overdue_degrades() -> None:
    found = judge(ALL, [LATE])

    assert (found.level, found.reasons, found.since) == ("degraded", [LATE], LATE.since)


def test_reasons_begin_with_what_stops_all_and_lead_to_a_page() -> None:
    found = judge([component("listener", "down"), component("workers", "down")], [LATE])

    assert [reason.text.partition(":")[0] for reason in found.reasons] == ["workers", "listener", LATE.text]
    assert found.reasons[0].page == "admin:jobs_processes"


@given(st.lists(st.tuples(st.sampled_from(["up", "degraded", "down"]), st.none() | st.integers(0, 500))))
def test_it_holds_since_the_first_fault_of_its_level_that_anybody_saw(states: list[tuple[str, int | None]]) -> None:
    ago = [
        component("workers", status, None if minutes is None else NOON - timedelta(minutes=minutes))
        for status, minutes in states
    ]
    found = judge(ago)
    decisive = [c.since for c in ago if c.since and c.status == found.level]

    assert found.since == min(decisive, default=None)


def test_an_old_nuisance_does_not_date_an_outage() -> None:
    found = judge([component("listener", "down", NOON - timedelta(days=1)), component("workers", "down", NOON)])

    assert (found.level, found.since) == ("down", NOON)


def test_the_main_api_is_down_since_the_breaker_opened() -> None:
    """Each web process first sees it at a time of its own, or does not know; the breaker is shared by all."""
    opened = NOON - timedelta(seconds=28)
    breaker = Component("breaker", "degraded", "open", opened, shows="main API")
    forced = Component("breaker", "degraded", "open, forced", opened)

    for noticed in (NOON, None):
        assert judge([component("main API", "down", noticed), breaker]).since == opened
        assert judge([component("main API", "down", noticed), forced]).since == noticed
