"""Permits within the main API's limits, in a real Redis."""

import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from jobs.main_api import budget as budgets
from jobs.main_api import limits, traffic
from jobs.main_api.budget import URGENT, Budget
from jobs.main_api.limits import Limits
from sandbox.ports import free_port
from tests.support.servers import RedisServer, wait_until

TIMEOUT: Final = timedelta(seconds=10)
LEASE_US: Final = 15_000_000
NEVER: Final[Callable[[], bool]] = bool  #: called without an argument: False


class Processes:
    """What processes ask of the script, without waiting."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(budgets.SCRIPT.read_text())
        self._numbers = itertools.count()

    def call(self, action: str, *arguments: str, process: str = "p", lease_us: int = LEASE_US) -> list[str]:
        """The tickets that are granted to the process."""
        answer: Any = self._script(args=[action, process, lease_us, "", "", *arguments])
        return [ticket.decode() for ticket in answer[0]]

    def ask(self, lane: str, *, process: str = "p", lease_us: int = LEASE_US) -> tuple[str, list[str]]:
        """A new ticket, and what is granted."""
        ticket = f"{process}:{next(self._numbers)}:{lane}"
        return ticket, self.call("acquire", lane, ticket, process=process, lease_us=lease_us)


@pytest.fixture
def processes(redis: Redis) -> Processes:
    return Processes(redis)


def in_turns(lanes: Sequence[str]) -> list[str]:
    """The model: lanes in the order in which somebody began to wait, one of each at a time, urgent ones before all."""
    waiting: dict[str, int] = {}
    for lane in lanes:
        waiting[lane] = waiting.get(lane, 0) + 1
    order = [URGENT] * waiting.pop(URGENT, 0)
    turns = deque(waiting)
    while turns:
        lane = turns.popleft()
        order.append(lane)
        waiting[lane] -= 1
        if waiting[lane]:
            turns.append(lane)
    return order


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([":a", ":b", ":c", ":", URGENT]), min_size=1, max_size=30))
def test_campaigns_take_turns(redis: Redis, processes: Processes, lanes: list[str]) -> None:
    """However many requests of one wait, another's only one is next but for one of each campaign that came before."""
    redis.flushall()
    limits.publish(Limits(in_flight=1), redis)
    held, (ticket,) = processes.ask(":first")
    assert held == ticket
    for lane in lanes:
        assert processes.ask(lane)[1] == []

    order = []
    for _ in lanes:
        (held,) = processes.call("release", held)
        order.append(held.split(":", 2)[2])

    assert order == in_turns(lanes)
    assert processes.call("release", held) == []
    assert traffic.read(redis).waits == 0
    assert traffic.read(redis).in_flight == 0


def test_a_killed_process_frees_its_permits_and_its_places(redis: Redis, processes: Processes) -> None:
    """Its permits expire, and its tickets are granted nothing once it has been silent for long."""
    limits.publish(Limits(in_flight=1), redis)
    processes.ask(":a", process="killed", lease_us=200_000)
    processes.ask(":a", process="killed", lease_us=200_000)
    redis.zadd(budgets.PROCESSES, {"killed": 0})
    ticket, granted = processes.ask(":b", lease_us=200_000)
    assert granted == []

    wait_until(lambda: processes.call("poll", lease_us=200_000) == [ticket])


def test_a_permit_for_another_process_goes_to_its_mailbox(redis: Redis, processes: Processes) -> None:
    limits.publish(Limits(in_flight=1), redis)
    held, _ = processes.ask(":a", process="one")
    ticket, _ = processes.ask(":a", process="two")

    assert processes.call("release", held, process="one") == []
    assert processes.call("poll", process="two") == [ticket]


def test_a_request_that_gives_up_gets_no_permit(redis: Redis, processes: Processes) -> None:
    limits.publish(Limits(in_flight=1), redis)
    held, _ = processes.ask(":a")
    gone, _ = processes.ask(":a")
    ticket, _ = processes.ask(":b")
    processes.call("cancel", ":a", gone)

    assert processes.call("release", held) == [ticket]
    processes.call("cancel", ":b", ticket)  # while its permit was on the way
    assert traffic.read(redis).in_flight == 0


def test_limits_change_live(redis: Redis, processes: Processes) -> None:
    """In both directions; without a limit every waiting request is let in."""
    limits.publish(Limits(in_flight=3), redis)
    held = [processes.ask(":a")[0] for _ in range(3)]
    limits.publish(Limits(in_flight=1), redis)
    waiting = [processes.ask(":a")[0] for _ in range(3)]

    assert processes.call("release", held[0]) == []
    assert processes.call("release", held[1]) == []
    assert processes.call("release", held[2]) == waiting[:1]
    limits.publish(Limits(in_flight=2), redis)
    assert processes.call("poll") == waiting[1:2]
    limits.publish(Limits(), redis)
    assert processes.call("poll") == waiting[2:]


def test_keys_of_a_wrong_type_are_replaced(redis: Redis) -> None:
    """Permits and places are made anew, without an operator."""
    limits.publish(Limits(in_flight=1), redis)
    for key in (budgets.IN_FLIGHT, budgets.TURNS, budgets.PROCESSES):
        redis.set(key, "x")
    one = Budget(redis, timeout=TIMEOUT)

    assert one.acquire(":a", "j", until=time.monotonic() + 30, must_stop=NEVER)


def use(budget: Budget, lane: str, seconds: float, note: Callable[[str], None] = lambda _: None) -> bool:
    """Hold a permit for a while. Returns whether there was one."""
    ticket = budget.acquire(lane, "job", until=time.monotonic() + 60, must_stop=NEVER)
    if ticket is None:
        return False
    note(ticket)
    time.sleep(seconds)
    budget.release(ticket)
    return True


def test_limits_in_flight_and_per_second_are_never_exceeded(redis: Redis) -> None:
    """Three processes with four threads each, measured by Redis's clock."""
    limits.publish(Limits(in_flight=3, per_second=25), redis)
    granted: list[int] = []
    most = [0]
    lock = threading.Lock()
    chance = random.Random(1)

    def note(ticket: str) -> None:
        score: Any = redis.zscore(budgets.IN_FLIGHT, ticket)
        with lock:
            granted.append(int(score) - LEASE_US)
            most[0] = max(most[0], redis.zcard(budgets.IN_FLIGHT))

    own = [Budget(Redis.from_url(url_of(redis)), timeout=TIMEOUT) for _ in range(3)]
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(use, own[n % 3], f":{n % 4}", chance.random() / 50, note) for n in range(60)]
        assert all(one.result() for one in asked)

    granted.sort()
    assert most[0] <= 3
    assert all(later - earlier >= 1_000_000 for earlier, later in zip(granted, granted[25:], strict=False))
    assert granted[-1] - granted[0] < 10_000_000
    assert traffic.read(redis).in_flight == 0


def test_without_a_limit_redis_is_asked_once_a_second(redis: Redis) -> None:
    now = [0.0]
    one = Budget(redis, timeout=TIMEOUT, clock=lambda: now[0])
    redis.config_resetstat()
    for _ in range(1000):
        assert one.acquire(":a", "j", until=60, must_stop=NEVER) == ""
    commands: Any = redis.info("commandstats")

    assert commands["cmdstat_hgetall"]["calls"] == 1
    assert "cmdstat_evalsha" not in commands
    limits.publish(Limits(in_flight=1), redis)
    now[0] += budgets.VIEW_S
    assert one.acquire(":a", "j", until=60, must_stop=NEVER)


def test_waiting_tickets_end_when_the_process_stops(redis: Redis) -> None:
    """And their places are given up."""
    limits.publish(Limits(in_flight=1), redis)
    one, stop = Budget(redis, timeout=TIMEOUT), threading.Event()
    held = one.acquire(":a", "j", until=time.monotonic() + 60, must_stop=NEVER)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(one.acquire, ":a", "j2", until=time.monotonic() + 600, must_stop=stop.is_set)
        wait_until(lambda: traffic.place_of("j2", "a", redis) == 0)
        stop.set()
        assert waiting.result(timeout=30) is None

    assert traffic.read(redis).waits == 0
    one.release(held or "")
    assert traffic.read(redis).in_flight == 0


def test_each_process_keeps_to_its_share_while_redis_is_away() -> None:
    """limit / number of processes; when Redis is back, it counts what is in flight."""
    server = RedisServer(free_port(), "budget")
    try:
        redis = Redis.from_url(server.url)
        limits.publish(Limits(in_flight=4), redis)
        one, other = (Budget(Redis.from_url(server.url, socket_timeout=1), timeout=TIMEOUT) for _ in range(2))
        for each in (one, other, one):
            assert use(each, ":a", 0)
        server.stop()
        first, second = (one.acquire(":a", "j", until=time.monotonic() + 30, must_stop=NEVER) for _ in range(2))

        assert first
        assert second
        assert one.share() == (2, None)
        assert one.acquire(":a", "j", until=time.monotonic() + 0.2, must_stop=NEVER) is None
        one.release(second)
        third = one.acquire(":a", "j", until=time.monotonic() + 30, must_stop=NEVER)
        assert third
        server.start()
        wait_until(redis.ping)
        limits.publish(Limits(in_flight=4), redis)
        wait_until(lambda: use(one, ":a", 0) and traffic.read(redis).in_flight == 2)
    finally:
        server.stop()


def url_of(redis: Redis) -> str:
    options = redis.connection_pool.connection_kwargs
    return f"redis://{options['host']}:{options['port']}"
