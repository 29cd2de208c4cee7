"""A short chaos run: `make chaos` runs longer ones, with more faults and on PostgreSQL."""

from tests.chaos import households
from tests.chaos.faults import faults_for
from tests.chaos.run import run

#: Faults that heal within seconds, however busy the machine is.
QUICK = [name for name in faults_for("sqlite") if name.startswith(("answer", "flush", "messages", "odd", "poison"))]
QUICK += ["kill worker", "kill scheduler", "fail over Redis", "read-only Redis", "lock the database"]


def test_the_ledgers_agree_after_a_short_chaos_run() -> None:
    """What clients were told, what the database holds and what the main API has done."""
    roles = ("web", "worker", "scheduler", "listener")
    result = run(3, database="sqlite", seconds=6, count=8, copies=1, roles=roles, only=QUICK)

    assert result.faults == 8
    assert result.effects
    assert result.violations == []


def test_a_town_does_not_care_how_time_is_moved_although_processes_are_killed() -> None:
    """One seed: `python -m tests.chaos.households` runs more, and on PostgreSQL."""
    for seed in households.run([8], database="sqlite", copies=1):
        assert seed.kills
        assert seed.differences == []
