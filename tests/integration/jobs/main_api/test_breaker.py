"""The circuit breaker that all processes share."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from redis import Redis
from structlog.testing import capture_logs

from jobs.errors import CircuitOpen, PermanentError, TransientError
from jobs.main_api.breaker import Breaker
from jobs.main_api.client import MainApi
from jobs.main_api.recent_calls import moment
from jobs.sending import Sending
from tests.support.servers import SandboxApi, wait_until


def test_breaker_opens_for_all_and_probes_once(redis: Redis) -> None:
    """Half of at least five calls failed: it opens in every process, and one thread probes."""
    now = [1000.0]
    mine, theirs = (Breaker(redis, threshold=5, duration=timedelta(seconds=30), clock=lambda: now[0]) for _ in range(2))
    for _ in range(4):
        mine.before_call()
        mine.record_fault(TransientError("down"), probe=False)
    mine.before_call()
    theirs.record_fault(TransientError("down"), probe=False)
    now[0] += 1

    for breaker in (mine, theirs):
        with pytest.raises(CircuitOpen) as caught:
            breaker.before_call()
        assert caught.value.until.timestamp() == 1030
    now[0] = 1030.5
    probes: list[int] = []

    def probe() -> None:
        try:
            mine.before_call()
        except CircuitOpen:
            return
        probes.append(1)

    threads = [threading.Thread(target=probe) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(probes) == 1
    mine.record_success(probe=True)
    now[0] += 1
    theirs.before_call()
    assert theirs.snapshot().state == "closed"


def open_breaker(redis: Redis, clock: Callable[[], float]) -> Breaker:
    """A breaker that five faults have opened."""
    breaker = Breaker(redis, threshold=5, duration=timedelta(seconds=30), clock=clock)
    for _ in range(5):
        breaker.record_fault(TransientError("down"), probe=breaker.before_call())
    return breaker


def test_late_answers_do_not_move_an_open_breaker(redis: Redis) -> None:
    """Calls begun before it opened neither close it nor keep it open; nor do calls that were never sent."""
    now = [1000.0]
    breaker = open_breaker(redis, lambda: now[0])
    now[0] += 20

    breaker.record_success(probe=False)
    breaker.record_fault(TransientError("down"), probe=False)
    assert breaker.snapshot().until == datetime.fromtimestamp(1030, tz=UTC)
    now[0] += 11
    assert breaker.before_call()
    breaker.record_unsent(probe=True)
    assert breaker.before_call()
    breaker.record_fault(TransientError("still down"), probe=True)

    assert breaker.snapshot().until == datetime.fromtimestamp(1061, tz=UTC)


def test_failed_probes_belong_to_one_opening(redis: Redis) -> None:
    """It is open since it opened; each probe that fails is logged and listed as what it is, and is no opening."""
    now = [1000.0]
    moves: list[tuple[str, str]] = []
    breaker = open_breaker(redis, lambda: now[0])
    breaker.listeners.append(lambda was, to: moves.append((was, to)))
    with capture_logs() as logs:
        for minute in (1, 2):
            now[0] = 1000.0 + 60 * minute
            breaker.record_fault(TransientError(f"HTTP 502 in minute {minute}"), probe=breaker.before_call())

    found = Breaker(redis, threshold=5, duration=timedelta(seconds=30), clock=lambda: now[0]).snapshot()
    assert (found.opened_at, found.until) == (moment(1000), moment(1150))
    assert [entry["event"] for entry in logs] == ["breaker.probe_failed"] * 2
    assert moves == [("open", "half-open")] * 2
    assert [(one.at, one.error) for one in breaker.recent_errors()][:3] == [
        (moment(1120), "HTTP 502 in minute 2"),
        (moment(1060), "HTTP 502 in minute 1"),
        (moment(1000), "down"),
    ]
    now[0] += 31
    breaker.record_success(probe=breaker.before_call())
    assert moves[2:] == [("open", "half-open"), ("open", "closed")]


@pytest.mark.parametrize("forced", ["open", "closed"])
def test_a_probe_that_ends_after_an_operator_intervened_moves_nothing(redis: Redis, forced: str) -> None:
    now = [1000.0]
    breaker = open_breaker(redis, lambda: now[0])
    now[0] += 31
    assert breaker.before_call()
    breaker.force(forced, by="user:olga", reason="maintenance")
    moves: list[tuple[str, str]] = []
    breaker.listeners.append(lambda was, to: moves.append((was, to)))
    breaker.record_fault(TransientError("down"), probe=True)
    breaker.record_success(probe=True)

    assert moves == []
    assert (breaker.snapshot().state, redis.exists("scheduler:breaker:state")) == (forced, 0)
    breaker.release()
    assert breaker.snapshot().state == "closed"
    assert not breaker.before_call()


def test_a_probe_may_take_as_long_as_any_call(redis: Redis) -> None:
    """Nobody else probes before its time limit, however short the breaker's duration is."""
    breaker = Breaker(redis, threshold=1, duration=timedelta(seconds=0.001), longest_call=timedelta(seconds=60))
    breaker.record_fault(TransientError("down"), probe=breaker.before_call())
    wait_until(lambda: breaker.snapshot().state == "half-open")

    assert breaker.before_call()
    with pytest.raises(CircuitOpen):
        breaker.before_call()
    assert redis.pttl("scheduler:breaker:probe") > 60_000


def test_half_of_the_calls_in_ten_seconds_open_the_breaker(redis: Redis) -> None:
    """Four of nine do not; calls more than ten seconds ago no longer count."""
    now = [1000.0]
    breaker = Breaker(redis, threshold=5, duration=timedelta(seconds=30), clock=lambda: now[0])
    for _ in range(2000):
        breaker.record_success(probe=breaker.before_call())
    now[0] += 11
    for _ in range(5):
        breaker.record_success(probe=breaker.before_call())
    for _ in range(4):
        breaker.record_fault(TransientError("down"), probe=breaker.before_call())
    now[0] += 1

    assert breaker.snapshot().state == "closed"
    breaker.record_fault(TransientError("down"), probe=breaker.before_call())
    assert breaker.snapshot().state == "open"


def test_permanent_errors_do_not_open_the_breaker(api: MainApi) -> None:
    """The main API answered: it is up."""
    for _ in range(20):
        with pytest.raises(PermanentError):
            api.execute_effect("no-such", key="k", sending=Sending(lambda: True))

    assert api.breaker.snapshot().state == "closed"


@pytest.mark.django_db
def test_the_health_check_passes_the_open_breaker(redis: Redis, sandbox: SandboxApi) -> None:
    """It asks the main API itself, which may be up again, and counts nothing against it."""
    breaker = open_breaker(redis, time.time)
    said = StringIO()
    call_command("check_main_api", stdout=said)
    assert "16 of 16 operations match the schema" in said.getvalue()

    sandbox.control("POST", "faults", {"errorRate": 1})
    with pytest.raises(SystemExit):
        call_command("check_main_api", stdout=said)
    assert "main API: HTTP 500" in said.getvalue()
    assert len(breaker.recent_errors()) == 5
