"""ADVANCE_WORLD_TIME: what may happen between any two of its steps."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.engine.scheduler.rescuer import Rescuer
from jobs.errors import PermanentError, Skip
from jobs.main_api.client import MainApi
from jobs.models import Job, WorldAdvance, new_job_id
from jobs.registry import Item, type_named
from jobs.run import Run
from jobs.schedules.advances import DatabaseAdvances
from jobs.schedules.store import DatabaseSchedules
from jobs.states import State
from jobs.triggers.store import DatabaseTriggers
from tests.support.advances import NIGHT, NOON, TWO, TYPE, answer_with_clock, clock, finish, move, start_anew, submit
from tests.support.advancing import CAMPAIGN
from tests.support.dialects import let_time_move
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sandbox(sandbox: SandboxApi) -> SandboxApi:
    """One in which time can be advanced."""
    let_time_move(sandbox)
    return sandbox


class Interrupted:
    """Lets something happen before the n-th call of an object's methods, or after it."""

    def __init__(self, inner: Any, happen: Callable[[], None], counter: list[int]) -> None:
        self._inner, self._happen, self._counter = inner, happen, counter

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._step()
            answer = method(*args, **kwargs)
            self._step()
            return answer

        return call

    def _step(self) -> None:
        self._counter[0] -= 1
        if self._counter[0] == 0:
            self._happen()


STEPS = range(1, 13)  #: before and after: clock, target, begin, branch, advanceWorldTime, finish


def attempt(api: MainApi, job_id: str, payload: dict[str, Any], step: int, happen: Callable[[], None]) -> int:
    """One attempt of a job in which something happens at a step. Returns how many steps were left."""
    counter = [step]
    run = Run(
        job_id=job_id,
        campaign_id=CAMPAIGN,
        attempt=1,
        due_at=timezone.now(),
        api=Interrupted(api, happen, counter),  # type: ignore[arg-type]  # the real one, with a step between its calls
        schedules=DatabaseSchedules(),
        advances=Interrupted(DatabaseAdvances(), happen, counter),
        triggers=DatabaseTriggers(),
        submit=len,
        clock_due=None,
        occurrences=1,
        interval=None,
    )
    declared = type_named(TYPE)
    declared.handle([Item(declared.parse(payload), run)])
    return counter[0]


def test_a_clock_that_an_answer_leaves_as_it_is_is_named(api: MainApi, sandbox: SandboxApi) -> None:
    answer_with_clock(sandbox, NOON)

    def stand_still() -> None:
        sandbox.control("POST", "campaigns", {"id": CAMPAIGN, "currentWorldTime": NOON})

    with pytest.raises(PermanentError, match=f"stands still at {NOON}: it answers that world time is {NOON}"):
        attempt(api, str(new_job_id()), {"to": TWO}, STEPS[-1], stand_still)
    assert not WorldAdvance.objects.get().processed_at


def test_a_worker_may_die_between_any_two_steps(redis: Redis, api: MainApi, sandbox: SandboxApi) -> None:
    """A relative target too: the next attempt moves time to where the first wanted it, once, with one set of jobs."""

    def die() -> None:
        raise SystemExit

    for step in STEPS:
        start_anew(sandbox)
        job_id = str(new_job_id())
        with pytest.raises(SystemExit):
            attempt(api, job_id, {"byMinutes": 600}, step, die)
        attempt(api, job_id, {"byMinutes": 600}, 0, die)

        assert (step, clock(sandbox)) == (step, NIGHT)
        assert (step, Job.objects.count()) == (step, 3)
        assert WorldAdvance.objects.get().to_time == NIGHT


@pytest.mark.parametrize("to", [TWO, NIGHT, "1001-06-03T00:00:00.000Z"], ids=["less", "as far", "further"])
def test_others_may_move_time_between_any_two_steps(redis: Redis, api: MainApi, sandbox: SandboxApi, to: str) -> None:
    """It goes on from there, to its target; a target that is reached or passed is left alone."""

    def others_move() -> None:
        if clock(sandbox) < to:
            move(sandbox, to)

    for step in STEPS:
        start_anew(sandbox)
        skipped = False
        try:
            assert attempt(api, str(new_job_id()), {"to": NIGHT}, step, others_move) <= 0
        except Skip:
            skipped = True

        assert (step, skipped) == (step, step == 1 and to >= NIGHT)
        assert (step, clock(sandbox)) == (step, max(to, NIGHT))
        assert (step, Job.objects.count()) == (step, 0 if skipped else 3)


def test_a_worker_that_is_killed_while_time_moves(redis: Redis, sandbox: SandboxApi, start: Start) -> None:
    """kill -9 after the main API has done it and before its answer: the next attempt sees that, and goes on."""
    sandbox.control("POST", "faults", {"operations": ["advanceWorldTime"], "latencyMs": 120_000})
    job = submit({"byMinutes": 600})
    worker = start("rqworker")
    wait_until(lambda: clock(sandbox) == NIGHT, what="time moves")
    worker.process.kill()
    worker.process.wait()
    sandbox.control("DELETE", "faults")
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    rescuer = Rescuer(redis)
    rescuer.checked_at = timezone.now()
    rescuer.free_expired(timezone.now())
    job.refresh_from_db()
    service.run_now([job], actor="user:ann", reason="now")

    job = finish(redis, job)
    assert (job.state, clock(sandbox)) == (State.SUCCEEDED, NIGHT)
    assert Job.objects.filter(type="EVENT_EXPIRATION").count() == 1
