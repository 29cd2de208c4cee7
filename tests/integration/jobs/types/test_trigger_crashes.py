"""TRIGGER_EVENT on workers that die: each effect is executed at most once, and none is forgotten."""

import pytest
from redis import Redis

from jobs import service
from jobs.engine.worker import attempt
from jobs.main_api.transport import PooledTransport
from jobs.models import Job, TriggerStep
from jobs.states import State
from jobs.triggers.store import DatabaseTriggers
from tests.support.crashes import Killed, kill_at, rescue
from tests.support.effects import claim, run
from tests.support.events import CAMPAIGN, EVENT, executions, is_completed, plant_effects, states_of, trigger_job
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
CALLS = ((PooledTransport, "send"), *((DatabaseTriggers, name) for name in ("plan", "begin", "end")))


def start_anew(sandbox: SandboxApi, dialect: str) -> None:
    """A fixture for each step would cost more than all steps."""
    sandbox.reset()
    sandbox.control("POST", "dialect", {"dialect": dialect})
    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "minutes": 10})
    sandbox.control("POST", "faults", {"ignoreKeys": True})
    plant_effects(sandbox, "PRE", "POST")
    Job.objects.all().delete()
    TriggerStep.objects.all().delete()


@pytest.mark.parametrize("dialect", ["contract", "today"])
def test_a_worker_may_die_between_any_two_calls(sandbox: SandboxApi, redis: Redis, dialect: str) -> None:
    """The next attempt goes on with the next request. It repeats none: where nobody knows, an operator decides."""
    unknown = 0
    for step in range(1, 100):
        start_anew(sandbox, dialect)
        job = trigger_job()
        with kill_at(step, *CALLS) as left:
            try:
                attempt.record(attempt.run_handler([claim(job)]), actor="worker:w", worker="w")
            except Killed:
                job = rescue(job, redis)
            else:
                job.refresh_from_db()
        if left[0] > 0:
            break
        sent_before = executions(sandbox)
        if job.state == State.DEAD:
            unknown += 1
            assert (step, job.may_have_been_applied, is_completed(sandbox)) == (step, True, dialect == "contract")
            assert (step, len(sent_before)) == (step, len(set(sent_before)))
            continue
        if job.state == State.QUEUED:
            job = run(job)
        assert (step, job.state) == (step, State.SUCCEEDED)
        assert (step, executions(sandbox)) == (step, [f"{EVENT}:0", f"{EVENT}:1"])
        assert is_completed(sandbox)

    assert (dialect, step > 10) == (dialect, True)
    assert unknown == {"contract": 2, "today": 4}[dialect]


def test_a_worker_that_is_killed_while_an_effect_is_executed(sandbox: SandboxApi, redis: Redis, start: Start) -> None:
    """kill -9 after the main API has done it and before its answer: nothing is sent until an operator says so."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    plant_effects(sandbox, "PRE", "POST")
    sandbox.control("POST", "faults", {"operations": ["executeEffect"], "latencyMs": 120_000})
    job = trigger_job()
    worker = start("rqworker")
    wait_until(lambda: executions(sandbox), what="the first effect is executed")
    worker.process.kill()
    worker.process.wait()
    sandbox.control("DELETE", "faults")
    job = rescue(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert states_of(job) == ["sending", "planned", "planned"]
    service.retry([job], actor="user:ann", reason="the main API knows the key")
    assert run(job).state == State.SUCCEEDED
    assert executions(sandbox) == [f"{EVENT}:0", f"{EVENT}:1"]
