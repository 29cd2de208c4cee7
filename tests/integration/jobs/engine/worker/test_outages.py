"""A job whose handler meets an outage of our own stores is requeued without counting a failure."""

import pytest
from django.db import OperationalError
from django.utils import timezone
from redis import Redis
from redis.exceptions import ConnectionError as RedisGone

from jobs import service
from jobs.engine.worker import attempt
from jobs.errors import Outage, OutcomeUnknown
from jobs.models import Job
from jobs.sending import Phase
from jobs.service import Submission
from jobs.states import State
from tests.support.locks import impatient, lock
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


def submit(type_: str) -> Job:
    payload = {"effectId": "effect-1-1", "executeAt": timezone.now().isoformat()} if type_ == "DEFERRED_EFFECT" else {}
    return service.submit(Submission(type=type_, campaign_id="campaign-1", payload=payload), actor="test")[0]


def claim(job: Job) -> attempt.Claimed:
    (claimed,) = attempt.claim([str(job.pk)], worker="w", now=timezone.now())
    return claimed


@pytest.mark.parametrize(
    ("type_", "table"), [("RECALCULATE_SETTLEMENT_SCHEDULES", "jobs_schedulerow"), ("DEFERRED_EFFECT", "jobs_job")]
)
def test_a_locked_table_uses_up_no_attempt(sandbox: SandboxApi, type_: str, table: str) -> None:
    """The job is retried soon; an effect whose sending could not be recorded was not sent."""
    job = submit(type_)
    claimed = claim(job)

    with lock(table), impatient():
        finished = attempt.run_handler([claimed])
    attempt.record(finished, actor="worker:w", worker="w")

    job.refresh_from_db()
    assert (job.state, job.failures, job.may_have_been_applied) == (State.RETRYING, 0, False)
    assert job.error.startswith("Outage: our own database or Redis failed: OperationalError")
    assert "executeEffect" not in sandbox.control("GET", "stats")["operations"]


@pytest.mark.parametrize("error", [OperationalError("gone"), RedisGone("gone")])
@pytest.mark.parametrize(
    ("phase", "becomes"),
    [(Phase.UNSENT, Outage), (Phase.REFUSED, Outage), (Phase.BEGUN, OutcomeUnknown), (Phase.DONE, dict)],
)
def test_a_recorded_sending_outweighs_an_outage(
    redis: Redis, error: Exception, phase: Phase, becomes: type[object]
) -> None:
    """An effect that may have been executed is not requeued as if nothing had been sent."""
    claimed = claim(submit("DEFERRED_EFFECT"))
    attempt.watch_sending(claimed)
    assert claimed.sending is not None
    claimed.sending.phase = phase

    assert isinstance(attempt.judge(claimed, error), becomes)
