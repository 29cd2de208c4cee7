"""What the first screen says in the trouble of a bad night, and how fast."""

import re
import time
from collections.abc import Iterator

import pytest
from django.test import Client
from redis import Redis

from jobs.state_counts import count_retrying
from tests.support import trouble
from tests.support.people import member
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def night(redis: Redis, sandbox: SandboxApi) -> Iterator[None]:
    trouble.make(20_000)
    yield
    sandbox.control("DELETE", "faults")


def test_the_first_screen_names_the_trouble(night: None, client: Client) -> None:
    """The level, since when, the dead letters by failure, and what fails apart from what waits."""
    viewer = member(client, "Viewer")
    viewer.get("/admin/")
    began = time.process_time()
    page = viewer.get("/admin/")
    cpu_s = time.process_time() - began
    tiles = {tile["name"]: tile["value"] for tile in page.context["tiles"]}
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.content.decode()))

    assert page.context["verdict"].level == "down"
    assert re.search(r"34 min( \d+ s)? ago", text)
    assert (tiles["Dead letters"], tiles["Queued"], tiles["Scheduled"]) == ("6,271", "3,000", "7,401")
    assert (tiles["Failing"], tiles["Have to wait"]) == ("500", "1,900")
    assert count_retrying() == (500, 1_900, 1_900, False)
    assert sum(one["n"] for one in page.context["failures"]) == pytest.approx(trouble.DEAD, abs=3)
    assert [one.title for one in page.context["incidents"]][:1] == ["No worker is running"]
    assert "overdue by 3" in text
    assert cpu_s < 2
