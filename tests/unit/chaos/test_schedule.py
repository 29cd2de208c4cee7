"""The schedule of faults."""

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.faults import faults_for
from tests.chaos.schedule import schedule_of

FAULTS = {"kill": "worker", "end": "worker", "flush": "redis", "lock": "database", "forward": "clock"}


@given(seed=st.integers(0, 2**32), count=st.integers(0, 40), seconds=st.floats(1, 600))
def test_a_schedule_is_determined_by_its_seed(seed: int, count: int, seconds: float) -> None:
    """Twice the same, in order of time, within the time, and the domains take turns."""
    schedule = schedule_of(seed, seconds=seconds, count=count, domains=FAULTS)
    first = [FAULTS[step.fault] for step in schedule.steps]

    assert schedule == schedule_of(seed, seconds=seconds, count=count, domains=dict(reversed(FAULTS.items())))
    assert len(schedule.steps) == count
    assert [step.at_s for step in schedule.steps] == sorted(step.at_s for step in schedule.steps)
    assert all(0 <= step.at_s <= seconds for step in schedule.steps)
    assert {"worker", "redis", "database"} <= set(first[:4]) or count < 4


def test_seeds_differ() -> None:
    """Each seed breaks something else."""
    schedules = {schedule_of(seed, seconds=30, count=9, domains=FAULTS).steps for seed in range(50)}

    assert len(schedules) == 50


def test_every_kind_of_fault_is_scheduled() -> None:
    """On either database, each under its own name."""
    for kind in ("sqlite", "postgresql"):
        domains = {fault.domain for fault in faults_for(kind).values()}
        assert domains >= {
            "worker",
            "scheduler",
            "listener",
            "web",
            "redis",
            "database",
            "main API",
            "messages",
            "clock",
        }
    assert faults_for("postgresql").keys() > faults_for("sqlite").keys()
