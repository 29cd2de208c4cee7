"""The events of a campaign that are to come."""

import pytest

from jobs.errors import NotFound, NotServed, TransientError
from jobs.main_api.client import MainApi
from jobs.triggers.open_events import find_next, read_open, scheduled_at
from jobs.world.clock import WorldTime
from tests.support.dialects import in_each_dialect
from tests.support.servers import SandboxApi

CAMPAIGN = "campaign-1"
NOON = WorldTime.parse("1001-06-01T12:00:00Z")  #: its clock; its events are half an hour apart, from 11:30 on


@in_each_dialect
def test_events_to_come_are_read_where_they_are_listed(sandbox: SandboxApi, api: MainApi) -> None:
    """Elsewhere those that are overdue; of a campaign that there is not, nothing."""
    sandbox.control("POST", "events", {"id": "event-1-3", "isCompleted": True})
    sandbox.control("POST", "events", {"id": "event-1-2", "scheduledAt": None})
    try:
        found = find_next(api, CAMPAIGN, NOON)
    except NotServed:
        found = None
    events, is_whole = read_open(api, CAMPAIGN)

    assert [event.id for event in events] == (["event-1-1", "event-1-4"] if is_whole else ["event-1-1"])
    assert found == (scheduled_at(events[-1]) if is_whole else None)
    if is_whole:
        assert find_next(api, CAMPAIGN, WorldTime.parse("1001-06-01T13:00:00Z")) is None
    else:
        with pytest.raises(NotFound):
            read_open(api, "no-such")


def test_the_next_event_is_not_guessed(sandbox: SandboxApi, api: MainApi) -> None:
    """One whose time cannot be read may be the next: it costs only itself in a list."""
    sandbox.control("POST", "dialect", {"points": [14]})
    sandbox.control("POST", "events", {"id": "event-1-4", "scheduledAt": "soon"})
    events, is_whole = read_open(api, CAMPAIGN)

    assert is_whole
    assert [event.id for event in events] == ["event-1-1", "event-1-2", "event-1-3"]
    assert [one.id for one in events.unreadable] == ["event-1-4"]
    with pytest.raises(TransientError, match="scheduledAt: 'soon'"):
        find_next(api, CAMPAIGN, NOON)
