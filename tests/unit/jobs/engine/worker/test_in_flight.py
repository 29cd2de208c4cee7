"""How many jobs a thread gets: several only if that harms neither priorities nor outcomes."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import overrides
from jobs.engine.worker import attempt
from jobs.engine.worker.in_flight import (
    AHEAD_MS,
    BEGIN_WITHIN_S,
    FAST_GROUP_MS,
    FAST_MS,
    MOST_AHEAD,
    MOST_FAST,
    SHORT_MS,
    InFlight,
    run_group,
)
from jobs.ledger import Claimed
from jobs.overrides import Overrides
from jobs.registry import all_types

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SINGLE = "EVENT_EXPIRATION"  # one job at a time, and harmless when done twice
ONCE = "DEFERRED_EFFECT"  # must not be done twice
MANY = "SETTLEMENT_GROWTH"  # does many at once


def make_claimed(number: int, kind: str = SINGLE) -> Claimed:
    return Claimed(str(number), kind, "c", "", {}, 5, 1, 0, NOW, "", "", 1, None, "", 1, NOW)


def finish(flight: InFlight, count: int, *, kind: str, ms: float) -> None:
    """Let jobs of one type run for so long."""
    for number in range(count):
        job = make_claimed(number, kind)
        flight.add([job])
        flight.finish(attempt.ending_of(job, None, ms, now=NOW))


@pytest.fixture(autouse=True)
def _types() -> Iterator[None]:
    assert {SINGLE, ONCE, MANY} <= all_types().keys()
    overrides.use({})
    yield
    overrides.use({})


def test_types_that_have_not_run_are_not_fetched_ahead() -> None:
    """Only types that declare a batch get several jobs: prefetch is 0 by default."""
    assert InFlight().group_sizes().keys() == {name for name, kind in all_types().items() if kind.batch > 1}


@given(ms=st.floats(0, FAST_MS, exclude_max=True))
def test_fast_handlers_get_several_jobs_at_a_time(ms: float) -> None:
    """Under 2 ms on average, of any campaign: as many as take 16 ms. No more when they become slow."""
    flight = InFlight()

    finish(flight, 5, kind=SINGLE, ms=ms)
    size, share_a_campaign = flight.group_sizes()[SINGLE]
    assert not share_a_campaign
    assert size * ms <= FAST_GROUP_MS * 1.001
    assert size == MOST_FAST or (size + 1) * ms > FAST_GROUP_MS

    finish(flight, 5, kind=SINGLE, ms=50)
    assert SINGLE not in flight.group_sizes()


def test_jobs_that_must_not_run_twice_are_never_claimed_ahead() -> None:
    """A lost worker would end attempts that had not even begun. Nor are batches, and types below a limit."""
    flight = InFlight()

    finish(flight, 20, kind=ONCE, ms=0.1)
    finish(flight, 20, kind=MANY, ms=5)
    finish(flight, 20, kind=SINGLE, ms=5)

    assert ONCE not in flight.group_sizes()
    assert flight.short() == {SINGLE: (1, False)}
    overrides.use({SINGLE: Overrides(concurrency=3)})
    assert flight.short() == {}


def test_one_thread_does_not_take_all_places_below_a_limit() -> None:
    """If one of its jobs hung, the type would stand still."""
    flight = InFlight()
    finish(flight, 5, kind=SINGLE, ms=0.5)
    assert SINGLE in flight.group_sizes()

    overrides.use({SINGLE: Overrides(concurrency=3)})
    assert SINGLE not in flight.group_sizes()


def test_only_known_fast_jobs_are_fetched_ahead() -> None:
    """A slow or unknown job must not wait here for a slot of this worker."""
    flight = InFlight()
    assert not flight.all_fast()

    finish(flight, 5, kind=SINGLE, ms=0.5)
    finish(flight, 5, kind=MANY, ms=0.5)
    assert flight.fast() == {SINGLE: (int(FAST_GROUP_MS / 0.5), False)}
    assert not flight.all_fast()

    group = flight.add([make_claimed(7)])
    assert flight.all_fast()
    assert flight.count_ahead(5) == 5  # one group per thread
    group.began -= SHORT_MS / 1000  # it hangs: another worker may be free sooner
    assert not flight.all_fast()
    assert flight.count_ahead(5) == 0
    group.began = math.inf

    flight.add([make_claimed(8, ONCE)])
    assert not flight.all_fast()


@given(threads=st.integers(1, 100), averages=st.dictionaries(st.sampled_from([SINGLE, ONCE, MANY]), st.floats(0, 200)))
def test_as_many_are_claimed_ahead_as_the_threads_finish_soon(threads: int, averages: dict[str, float]) -> None:
    """Nothing unless all that runs is short; the last one waits AHEAD_MS for a thread."""
    flight = InFlight()
    for number, (kind, ms) in enumerate(averages.items()):
        finish(flight, 1, kind=kind, ms=ms)
        flight.add([make_claimed(number, kind)]).began = math.inf  # it has taken no time yet

    most = flight.count_ahead(threads)

    slowest = max(averages.values(), default=SHORT_MS)
    assert most <= threads * MOST_AHEAD
    assert most * max(slowest, FAST_MS) / threads <= AHEAD_MS
    if slowest >= SHORT_MS:
        assert most == 0
    elif slowest >= FAST_MS:
        assert most == threads * MOST_AHEAD or (most + 1) * slowest / threads > AHEAD_MS


def test_nothing_is_claimed_ahead_of_what_may_take_long() -> None:
    """A job that hangs, or of a type that has not run."""
    flight = InFlight()
    finish(flight, 5, kind=SINGLE, ms=5)
    group = flight.add([make_claimed(1)])
    assert flight.count_ahead(5) > 0

    group.began -= SHORT_MS / 1000  # it takes longer than usual: its thread may hang
    assert flight.count_ahead(5) == 0

    group.began = math.inf
    flight.add([make_claimed(2, ONCE)])
    assert flight.count_ahead(5) == 0


def test_waiting_for_a_thread_does_not_count_towards_the_time_limit() -> None:
    """It begins with the handler. From then on the job cannot be withdrawn, and one that was does not begin."""
    group, other = InFlight().add([make_claimed(1)]), InFlight().add([make_claimed(2)])
    assert group.deadline == math.inf

    assert group.begin()
    assert other.withdraw("2")

    assert group.deadline == group.began + group.limit_s
    assert not group.withdraw("1")
    assert not other.begin()
    assert list(run_group(other)) == []


def test_each_job_of_a_group_has_the_whole_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ran before it takes nothing of it. The jobs of a batch begin together."""
    group, batch = (
        InFlight().add([make_claimed(1), make_claimed(2)]),
        InFlight().add([make_claimed(3, MANY), make_claimed(4, MANY)]),
    )
    now = time.monotonic()
    for second in (0.0, 0.7):
        monkeypatch.setattr(time, "monotonic", lambda second=second: now + second)
        (job,) = group.begin()
        assert group.running == [job]
        assert group.deadline == now + second + group.limit_s

    assert len(batch.begin()) == len(batch.running) == 2


def test_what_a_slow_group_has_not_begun_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its type was fast until then: the thread begins no more of it, though the first job hangs or has ended."""
    group = InFlight().add([make_claimed(n) for n in range(4)])
    running, now = run_group(group), time.monotonic()
    next(running)
    assert not group.waits_too_long(now)

    monkeypatch.setattr(time, "monotonic", lambda: now + BEGIN_WITHIN_S + 0.1)
    assert list(running) == []

    assert group.waits_too_long(time.monotonic())
    assert [job.id for job in group.withdraw_rest()] == ["1", "2", "3"]
    assert not group.waits_too_long(time.monotonic())


@given(steps=st.lists(st.one_of(st.none(), st.just("rest"), st.integers(0, 5).map(str)), max_size=12))
def test_a_job_is_begun_or_withdrawn_once(steps: list[str | None]) -> None:
    """Whatever is stopped or handed back while a thread runs a group."""
    group = InFlight().add([make_claimed(n) for n in range(6)])
    gone: list[str] = []
    for step in steps:
        if step is None:
            gone += [job.id for job in group.begin()]
        elif step == "rest":
            gone += [job.id for job in group.withdraw_rest()]
        elif group.withdraw(step):
            gone.append(step)

    left = [job.id for job in group.withdraw_rest()]
    assert sorted(gone + left) == sorted(group.jobs)


def test_a_batch_is_of_one_campaign() -> None:
    """As its type declares it."""
    assert InFlight().group_sizes()[MANY] == (all_types()[MANY].batch, True)


def test_a_group_takes_a_slot_until_its_last_job_has_ended() -> None:
    """The end of another attempt frees none, and an end counts once."""
    flight = InFlight()
    jobs = [make_claimed(1), make_claimed(2)]
    flight.add(jobs)
    first, last = (attempt.ending_of(job, None, 1.0, now=NOW) for job in jobs)

    assert flight.finish(first) is not None
    assert not flight.finish(first)
    assert not flight.finish(attempt.ending_of(make_claimed(2), None, 1.0, now=NOW))
    assert [job.id for job in flight.jobs()] == ["2"]
    assert len(flight) == 1
    assert flight.finish(last)
    assert len(flight) == 0


def test_two_attempts_of_one_job_are_tracked_separately() -> None:
    """It was requeued and claimed again while its thread still runs: each end removes its own."""
    flight = InFlight()
    first, second = make_claimed(1), make_claimed(1)
    second.attempt = 2
    earlier = flight.add([first])
    current = flight.add([second])
    stale, end = attempt.ending_of(first, None, 1.0, now=NOW), attempt.ending_of(second, None, 1.0, now=NOW)

    assert flight.group_of("1") is current
    assert flight.finish(stale) is earlier
    assert len(flight) == 1
    assert flight.finish(end) is current
    assert len(flight) == 0
