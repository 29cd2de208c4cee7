"""The gate: fair between campaigns, at no cost to a job that waits, and quick to give way."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import pytest
from redis import Redis

from jobs.errors import CircuitOpen, NoPermit, TransientError
from jobs.main_api import limits, traffic
from jobs.main_api.budget import IN_FLIGHT, Budget
from jobs.main_api.calls import Calls
from jobs.main_api.client import MainApi
from jobs.main_api.gate import Admitted, Gate
from jobs.main_api.limits import Limits
from jobs.sending import Sending
from tests.support.servers import SandboxApi, wait_until

TIMEOUT_S: Final = 10.0


def gate_of(redis: Redis, *, most: int = 10) -> Gate:
    gate = Gate(Budget(redis, timeout=timedelta(seconds=TIMEOUT_S)), most=most)
    while gate.room.size() < most:  # as after the first answers
        gate.note_answer(Admitted("", time.monotonic(), 1, has_waited=False), "start", 0.001, in_flight=1)
    return gate


def enter_for(gate: Gate, campaign: str, *, within_s: float = 60.0) -> Admitted:
    """Enter as a job of a campaign, half of whose time limit the request may take."""
    with Calls(campaign_id=campaign, job_id=f"job-of-{campaign}", deadline=time.monotonic() + 2 * within_s):
        return gate.enter(timeout_s=within_s)


@pytest.fixture(params=[Limits(), Limits(in_flight=1)], ids=str)
def narrow(request: pytest.FixtureRequest, redis: Redis) -> Gate:
    """A gate that lets in one at a time: for its window, or for a limit."""
    limits.publish(request.param, redis)
    return gate_of(redis, most=10 if request.param.exist else 1)


def test_one_campaign_with_many_requests_does_not_delay_another(narrow: Gate) -> None:
    """Thirty requests of one wait; another's only one is next after one of them."""
    order: list[str] = []

    def send(campaign: str) -> None:
        entry = enter_for(narrow, campaign)
        order.append(campaign)
        narrow.leave(entry)

    first = enter_for(narrow, "first")
    with ThreadPoolExecutor(40) as pool:
        busy = [pool.submit(send, "busy") for _ in range(30)]
        wait_until(lambda: waiting_in(narrow) == 30)
        small = [pool.submit(send, name) for name in ("small", "tiny")]
        wait_until(lambda: waiting_in(narrow) == 32)
        narrow.leave(first)
        for one in (*busy, *small):
            one.result(timeout=60)

    assert sorted(order[:3]) == ["busy", "small", "tiny"]


def waiting_in(gate: Gate) -> int:
    return gate.room.waiting + traffic.read(gate.budget.connection).waits


def test_a_request_of_no_job_goes_first(narrow: Gate) -> None:
    """Health checks, pages and the listener do not wait for thirty jobs, and count all the same."""
    order: list[str] = []

    def send(campaign: str | None) -> None:
        entry = narrow.enter(timeout_s=TIMEOUT_S) if campaign is None else enter_for(narrow, campaign)
        order.append(campaign or "page")
        narrow.leave(entry)

    first = enter_for(narrow, "first")
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(send, f"c-{n}") for n in range(10)]
        wait_until(lambda: waiting_in(narrow) == 10)
        asked.append(pool.submit(send, None))
        wait_until(lambda: waiting_in(narrow) == 11)
        narrow.leave(first)
        for one in asked:
            one.result(timeout=60)

    assert order[0] == "page"


def test_a_request_that_waits_too_long_costs_no_attempt(narrow: Gate) -> None:
    """The time limit leaves room for the request itself; the error says what was in the way."""
    entry = enter_for(narrow, "first")

    for within_s in (0.3, 0.0):
        with pytest.raises(NoPermit, match="main API: no room within 0 s"):
            enter_for(narrow, "second", within_s=within_s)
    assert waiting_in(narrow) == 0
    narrow.leave(entry)
    narrow.leave(enter_for(narrow, "second", within_s=0.0))  # it need not wait


def test_waiting_requests_end_when_the_process_stops(narrow: Gate) -> None:
    stop = threading.Event()
    narrow.must_stop = stop.is_set
    entry = enter_for(narrow, "first")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(enter_for, narrow, "second")
        wait_until(lambda: waiting_in(narrow) == 1)
        stop.set()
        with pytest.raises(NoPermit, match="this process is to stop"):
            waiting.result(timeout=30)
    narrow.leave(entry)
    narrow.leave(enter_for(narrow, "third"))  # a handler that need not wait may finish


def test_retry_after_stops_every_process(redis: Redis) -> None:
    """Nobody sends anything before that time; a request that cannot wait so long fails with the time."""
    one, other = gate_of(redis), gate_of(redis)
    entry = enter_for(one, "a")
    one.leave(entry)
    one.note_refusal(entry, 429, timedelta(seconds=1))
    told_at = time.monotonic()

    assert one.room.size() == 5
    with pytest.raises(NoPermit, match="it asked to send nothing"):
        enter_for(one, "a", within_s=0.1)
    other.leave(enter_for(other, "a"))
    assert time.monotonic() - told_at > 0.9


def test_too_many_requests_halve_the_window(api: MainApi, sandbox: SandboxApi, redis: Redis) -> None:
    """429 halves it, as 413 does, and pages show it; the breaker stays closed."""
    for _ in range(12):
        api.settlements(["settlement-1-1-1"])
    full = api.transport.gate.room.size()
    sandbox.control("POST", "faults", {"rateLimit": {"next": 1, "retryAfterS": 0}})
    with pytest.raises(TransientError, match="429"):
        api.kingdoms("campaign-1")

    assert full == api.transport.gate.room.most
    assert api.transport.gate.room.size() == full // 2
    assert [(one.size, one.cause) for one in traffic.read(redis).halved] == [(full // 2, "429")]
    assert api.breaker.snapshot().state == "closed"


@pytest.fixture
def held(redis: Redis, api: MainApi) -> Iterator[str]:
    """The only permit, in another process's hands; the client knows of the limit."""
    limits.publish(Limits(in_flight=1), redis)
    wait_until(lambda: api.transport.gate.budget.limits().exist)
    other = Budget(redis, timeout=timedelta(seconds=TIMEOUT_S))
    ticket = other.acquire(":a", "j", until=time.monotonic() + 60, must_stop=lambda: False) or ""
    yield ticket
    other.release(ticket)


def test_a_sending_begins_after_the_wait(api: MainApi, sandbox: SandboxApi, held: str) -> None:
    """A worker that is killed while its effect waits has sent nothing, and knows it."""
    begun: list[str] = []

    def record() -> bool:
        begun.append("sending")
        return True

    with Calls(deadline=time.monotonic()), pytest.raises(NoPermit):
        api.execute_effect("effect-1-1", key="k", sending=Sending(record))
    assert begun == []
    assert not sandbox.has_heard("executeEffect")


def test_a_breaker_that_opens_meanwhile_stops_what_waited(
    api: MainApi, sandbox: SandboxApi, redis: Redis, held: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.kingdoms, "campaign-1")
        wait_until(lambda: traffic.read(redis).urgent == 1)
        api.breaker.force("open", by="t", reason="t")
        redis.zrem(IN_FLIGHT, held)  # as if it had expired
        with pytest.raises(CircuitOpen):
            waiting.result(timeout=30)
    api.breaker.release()

    assert not sandbox.has_heard("kingdomsByCampaign")
    assert traffic.read(redis).in_flight == 0
