"""One run: begin, break, heal, stop, and judge."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from jobs.states import ENDED
from tests.chaos.faults import domains_of, faults_for
from tests.chaos.faults.fault import Fault
from tests.chaos.ledgers import CLIENT, ENTRIES, JOBS, applied_of, audited_of
from tests.chaos.logs import find_unexplained
from tests.chaos.schedule import CLOCK, Schedule, Step, schedule_of
from tests.chaos.submitter import Submitter
from tests.chaos.verdict import violations
from tests.chaos.world import ROLES, World

HEAL_S: Final = 150.0  #: how long what is left may take once everything works
_LEFT: Final = (
    f"SELECT count(*) AS n FROM jobs_job WHERE source = '{CLIENT}' AND state NOT IN "  # noqa: S608 - our own words
    f"({', '.join(repr(state.value) for state in ENDED)})"
)


@dataclass(slots=True)
class Result:
    """What came of a run."""

    schedule: Schedule
    folder: Path
    faults: int = 0
    jobs: int = 0
    submitted: int = 0
    effects: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        what = f"seed {self.schedule.seed}: {self.faults} faults, {self.submitted} submissions, {self.jobs} jobs, "
        return f"{what}{self.effects} effects executed, {len(self.violations)} violations"


def run(
    seed: int,
    *,
    database: str,
    seconds: float,
    count: int,
    copies: int = 2,
    roles: Sequence[str] = ROLES,
    only: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> Result:
    """Run one seed. Raises AssertionError if the world does not start."""
    table = {name: f for name, f in faults_for(database).items() if not only or name in only}
    schedule = schedule_of(seed, seconds=seconds, count=count, domains=domains_of(table))
    with_clock = bool(schedule.epoch) or CLOCK in {table[step.fault].domain for step in schedule.steps}
    name = f"chaos-{database}-{seed}-{time.monotonic_ns()}"
    world = World(name, database=database, epoch=schedule.epoch, with_clock=with_clock, copies=copies, roles=roles)
    result = Result(schedule, world.folder)
    say(f"seed {seed} on {database}{', ' + schedule.epoch if schedule.epoch else ''}; logs in {world.folder}")
    try:
        world.start()
        submitter = Submitter(world, seed)
        submitter.start()
        _break(world, schedule, table, result, say)
        submitter.stop()
        _heal(world, submitter, result)
        _judge(world, submitter, result)
    finally:
        world.close()
    return result


def _break(
    world: World, schedule: Schedule, table: dict[str, Fault], result: Result, say: Callable[[str], None]
) -> None:
    """Let every fault strike at its time, or as soon as the one before it in its domain has healed."""
    began = time.monotonic()
    locks = {fault.domain: threading.Lock() for fault in table.values()}

    def strike(step: Step) -> None:
        fault = table[step.fault]
        with locks[fault.domain]:
            say(f"{time.monotonic() - began:6.1f} s  {step}")
            try:
                fault.strike(world, Random(step.seed), step.lasts_s)
                result.faults += 1
            except Exception as error:  # noqa: BLE001 - a fault that cannot strike or heal is a finding, too
                result.violations.append(f"the fault {step.fault!r} itself failed: {error!r}")

    threads = []
    for step in schedule.steps:
        time.sleep(max(0.0, step.at_s - (time.monotonic() - began)))
        threads.append(threading.Thread(target=strike, args=[step], daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(timeout=180)


def _heal(world: World, submitter: Submitter, result: Result) -> None:
    """Everything works again: what was not answered is answered, and every job comes to its end."""
    world.restore_api()
    world.await_ready()
    until = time.monotonic() + HEAL_S
    while submitter.unanswered and time.monotonic() < until:
        for submitted in submitter.unanswered:
            submitter.submit_again(submitted)
    for submitted in submitter.unanswered:
        result.violations.append(f"nobody answers {dict(submitted.body)}")
    while world.database.read(_LEFT)[0]["n"] and time.monotonic() < until:
        time.sleep(1)


def _judge(world: World, submitter: Submitter, result: Result) -> None:
    world.end_all()
    audited = audited_of(world.database.read(JOBS), world.database.read(ENTRIES))
    applied = applied_of(world.sandbox.world())
    result.jobs, result.submitted = len(audited.jobs), len(submitter.client.submitted)
    result.effects = applied.effects.total()
    result.violations += world.found
    result.violations += violations(submitter.client, audited, applied, clock_was_set=world.clock.was_set)
    result.violations += find_unexplained(world.folder)
    if world.mark.is_there:
        result.violations.append("code out of Redis was run")
