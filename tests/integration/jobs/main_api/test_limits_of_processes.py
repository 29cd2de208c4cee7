"""Real workers and the main API's limits, as the main API itself counts."""

import signal
import time
from typing import Any

import pytest
from redis import Redis

from jobs import main_api_limits
from jobs.main_api import limits, traffic
from jobs.main_api.limits import Limits
from jobs.models import Job
from jobs.states import State
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)


def count_in(state: State) -> int:
    return Job.objects.filter(state=state).count()


def load_of(sandbox: SandboxApi) -> dict[str, int]:
    found: Any = sandbox.control("GET", "stats")["load"]
    return {str(name): int(most) for name, most in found.items()}


def test_limits_that_are_set_while_the_copy_is_compared_stay(redis: Redis) -> None:
    """The scheduler has read the old ones: it reads again, and does not publish them over the new."""
    main_api_limits.set_limits(Limits(in_flight=7), actor="test")
    read: list[Limits] = []

    def find() -> Limits:
        found = main_api_limits.current()
        if not read:
            main_api_limits.set_limits(Limits(in_flight=3), actor="test")
        read.append(found)
        return found

    limits.sync(find, redis)

    assert limits.read(redis) == Limits(in_flight=3)


def test_several_processes_keep_within_the_limits(start: Start, redis: Redis, sandbox: SandboxApi) -> None:
    """Also when one of them is killed with permits in its hands; a limit that is taken away holds nothing back."""
    main_api_limits.set_limits(Limits(in_flight=3, per_second=30), actor="test")
    sandbox.control("POST", "faults", {"latencyMs": 150})
    submit(60)
    killed, *_ = [
        start(name, API_REQUEST_TIMEOUT_MS="1500", LEASE_SECONDS="5")
        for name in ("rqworker", "rqworker", "rqscheduler")
    ]
    wait_until(lambda: count_in(State.SUCCEEDED) >= 5, what="jobs run")
    wait_until(lambda: traffic.read(redis).waits, what="some of them wait")
    killed.process.send_signal(signal.SIGKILL)
    wait_until(lambda: count_in(State.SUCCEEDED) >= 25, what="the other goes on")
    load = load_of(sandbox)
    main_api_limits.set_limits(Limits(), actor="test")
    wait_until(lambda: count_in(State.SUCCEEDED) == 60, within_s=120, what="all are done")

    assert load["mostInFlight"] == 3
    assert load["mostInASecond"] <= 31  # one that was sent late may be counted with those of the second after
    assert load_of(sandbox)["mostInFlight"] > 3
    assert not Job.objects.filter(failures__gt=1).exists()  # those of the killed worker have one


def test_a_worker_that_is_told_to_stop_hands_back_what_waits(start: Start, redis: Redis, sandbox: SandboxApi) -> None:
    """At once: the wait ends long before its patience does, and costs nothing."""
    main_api_limits.set_limits(Limits(in_flight=1), actor="test")
    sandbox.control("POST", "faults", {"latencyMs": 3_000})
    for number in (1, 2, 3):
        submit(2, campaign_id=f"campaign-{number}")
    worker = start("rqworker")
    # While the first request finds out whether names can be read, the others wait for that and not yet for a permit.
    wait_until(lambda: traffic.read(redis).waits >= 2, what="two wait")
    began = time.monotonic()

    assert worker.stop() == 0
    assert time.monotonic() - began < 20  # what was in flight has ended; no wait has
    assert traffic.read(redis).waits == 0
    waited = Job.objects.filter(state=State.RETRYING)
    assert waited.count() >= 2
    assert {job.failures for job in waited} == {0}
    assert all(job.error.startswith("NoPermit: main API: not sent") for job in waited)
