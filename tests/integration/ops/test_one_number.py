"""A number that stands in several places is one number: dashboard, lists, tabs, footers, /health, /metrics."""

import re
from collections.abc import Mapping

import pytest
from django.test import Client
from redis import Redis

from jobs import state_counts
from jobs.states import State
from monitoring import health
from tests.support.ledger import make_rows
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
JOBS = "/admin/jobs/job/"


def as_number(text: str) -> int:
    """What a page shows, such as 1,234; "5+" is the limit and one."""
    return int(re.sub(r"\D", "", text)) + text.endswith("+")


@pytest.mark.parametrize(
    "made",
    [
        {State.SCHEDULED: 3, State.RETRYING: 2, State.DEAD: 4, State.RUNNING: 1, State.SUCCEEDED: 5},
        {State.SCHEDULED: 5, State.RETRYING: 1, State.DEAD: 6, State.RUNNING: 9},
        {},
    ],
    ids=["few", "at the limit", "none"],
)
def test_every_place_has_the_same_count_of_a_state(
    made: Mapping[State, int],
    admin_client: Client,
    sandbox: SandboxApi,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_counts, "MOST_COUNTED", 5)
    for state, number in made.items():
        make_rows(state, number)
    counted = {state: min(made.get(state, 0), 6) for state in State}

    page = admin_client.get("/admin/")
    tiles = {tile["name"]: tile for tile in page.context["tiles"]}

    tabs = {tab["name"]: tab for tab in admin_client.get(JOBS).context["cl"].tabs()}
    for name, state in [("Running", State.RUNNING), ("Queued", State.QUEUED), ("Scheduled", State.SCHEDULED)]:
        listed = admin_client.get(tiles[name]["link"]).context["cl"]
        assert as_number(tiles[name]["value"]) == as_number(listed.count_text) == counted[state]
    for state in State:
        tab = tabs[state.value.capitalize()]
        listed = admin_client.get(f"{JOBS}{tab['query']}").context["cl"]
        assert as_number(tab["count"]) == as_number(listed.count_text) == counted[state]
    assert as_number(tiles["Failing"]["value"]) == counted[State.RETRYING]
    assert as_number(tiles["Dead letters"]["value"]) == counted[State.DEAD]
    assert (page.context["running_count"], page.context["dead_count"]) == (
        tiles["Running"]["value"],
        tiles["Dead letters"]["value"],
    )


@pytest.mark.parametrize("dead", [0, 5, 6])
def test_health_and_metrics_have_the_whole_number(
    dead: int, admin_client: Client, sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first request on: a limit is never taken for a number."""
    monkeypatch.setattr(state_counts, "MOST_COUNTED", 5)
    make_rows(State.DEAD, dead)
    make_rows(State.SCHEDULED, 2)
    make_rows(State.RETRYING, 1)
    health.HEALTH.forget()

    numbers = admin_client.get("/metrics").json()
    exposed = admin_client.get("/metrics/prometheus").content.decode()
    said = admin_client.get("/health").json()["components"]["rqQueue"]["message"]

    assert (numbers["deadLetter"]["count"], numbers["queue"]["delayed"]) == (dead, 3)
    assert f"\nscheduler_dead_letter_count {dead}\n" in exposed
    assert "\nscheduler_queue_delayed 3\n" in exposed
    assert said == f"Active: 0, Waiting: 0, Delayed: 3, Failed: {dead}"


def test_the_dashboard_s_strip_repeats_no_count(admin_client: Client, sandbox: SandboxApi, redis: Redis) -> None:
    """The tiles below it have them, and are younger than a round of checks."""
    make_rows(State.DEAD, 4)
    health.HEALTH.components()

    strip = {shown.name: shown for shown in admin_client.get("/admin/").context["components"]}

    assert (strip["jobs"].status, strip["jobs"].message) == ("up", "")
