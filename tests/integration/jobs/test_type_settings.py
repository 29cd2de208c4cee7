"""Job types' settings, changed while workers run: attempts, backoff, time limit and concurrency."""

from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import overrides, policies, service, type_settings
from jobs.broker import depths, enqueue, keys
from jobs.broker import overrides as redis_copy
from jobs.broker.scripts import FAIR_SHARE
from jobs.engine.scheduler.reconciler import Reconciler
from jobs.errors import InvalidJob, InvalidSetting
from jobs.models import Job, OperatorAction, TypeSettings
from jobs.overrides import Overrides
from jobs.states import ENDED, State
from tests.support.ledger import last_reason, state_of
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import claim_order, submit, work

pytestmark = pytest.mark.django_db(transaction=True)
TYPE = "EVENT_EXPIRATION"


@pytest.fixture(autouse=True)
def _as_declared() -> Any:
    """This process forgets what a test has set."""
    yield
    overrides.use({})


def change(**values: int | None) -> None:
    type_settings.set_overrides(TYPE, Overrides(**values), actor="user:ann", reason="their server is small")


def has_ended(job: Job) -> bool:
    return state_of(job) in ENDED


def test_a_change_reaches_a_worker_that_runs(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """Attempts, backoff and time limit, within seconds and without a restart; so does the way back."""
    sandbox.control("POST", "faults", {"errorRate": 1.0})
    start("rqworker", QUEUE_RETRY_BACKOFF_MS="20", API_CIRCUIT_BREAKER_THRESHOLD="1000")
    start("rqscheduler")
    (before,) = submit(1)
    wait_until(lambda: has_ended(before), what="the job is a dead letter")
    change(max_attempts=1)
    reasons = [last_reason(before)]
    wait_until(lambda: "of 1:" in dead_letter(reasons), within_s=30, what="the worker counts to 1")
    change()
    wait_until(lambda: "of 3:" in dead_letter(reasons), within_s=30, what="the worker counts to 3 again")

    assert "failure 3 of 3" in reasons[0]
    assert any("failure 1 of 1" in reason for reason in reasons)


def dead_letter(reasons: list[str]) -> str:
    """Submit a job that fails, and return the reason why it is a dead letter."""
    (job,) = submit(1, campaign_id=f"campaign-{100 + len(reasons)}")
    wait_until(lambda: has_ended(job), what="the job is a dead letter")
    reasons.append(last_reason(job))
    return reasons[-1]


def test_a_time_limit_ends_what_takes_longer(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    sandbox.control("POST", "faults", {"latencyMs": 4_000})
    change(timeout_s=1, max_attempts=1)
    start("rqworker")
    (job,) = submit(1)
    wait_until(lambda: has_ended(job), what="it was ended")

    assert "ran longer than its limit of 1 s" in last_reason(job)


def test_no_more_jobs_of_a_type_run_than_its_limit(start: Start, sandbox: SandboxApi, redis: Redis) -> None:
    """On two workers together, also after one is killed; jobs of other types do not wait for it."""
    change(concurrency=2)
    sandbox.control("POST", "faults", {"latencyMs": 100})
    limited = submit(24)
    others = submit(4, type="RECALCULATE_SETTLEMENT_SCHEDULES")
    most, after = 0, 0
    killed, *_ = [start("rqworker", LEASE_SECONDS="5") for _ in range(2)] + [start("rqscheduler", LEASE_SECONDS="5")]

    def all_done() -> bool:
        nonlocal most, after
        leased = Job.objects.filter(type=TYPE, state=State.RUNNING, lease_until__gt=timezone.now())
        running = leased.count()
        most = max(most, running)
        if not after and all(map(has_ended, others)):
            after = Job.objects.filter(type=TYPE, state__in=ENDED).count() + 1
        if Job.objects.filter(type=TYPE, state__in=ENDED).count() > 5:
            killed.process.kill()
        return not Job.objects.exclude(state__in=ENDED).exists()

    wait_until(all_done, within_s=90, what="all jobs ended")

    assert most == 2
    assert after < len(limited)
    assert {state_of(job) for job in limited} == {State.SUCCEEDED}


def test_campaigns_take_turns_within_a_limit(sandbox: SandboxApi, redis: Redis) -> None:
    """A campaign with one job waits for a share of a busy one at most; every page counts what waits."""
    change(concurrency=1)
    busy = submit(2 * FAIR_SHARE + 10, campaign_id="campaign-1")
    (single,) = submit(1, campaign_id="campaign-2")
    work(redis, max_jobs=1)
    depth = depths.read(redis)["normal"]

    assert depth.waiting == len(busy)
    assert 0 < depth.limited <= depth.waiting
    work(redis)
    place = claim_order([*busy, single]).index(str(single.pk))
    assert place <= FAIR_SHARE + 1
    assert depths.read(redis)["normal"].waiting == 0
    assert not redis.smembers(keys.ASIDE)


def test_a_job_that_waits_for_the_limit_can_be_cancelled_and_is_not_lost(sandbox: SandboxApi, redis: Redis) -> None:
    """It leaves the list aside; without a limit all that waited there run."""
    change(concurrency=1)
    jobs = submit(20)
    redis.zadd(keys.RUNNING.format(TYPE), {"of-another-worker": 2**33})
    work(redis)
    assert depths.read(redis)["normal"].limited == 20
    service.cancel(jobs[3:4], actor="user:ann", reason="not needed")
    assert depths.read(redis)["normal"].waiting == 19
    change(concurrency=None)
    work(redis)

    assert {state_of(job) for job in jobs} == {State.SUCCEEDED, State.CANCELLED}


def test_what_is_set_is_recorded_with_who_and_why(redis: Redis) -> None:
    change(max_attempts=5, backoff_ms=1000)
    row = type_settings.last_change(TYPE)
    action = OperatorAction.objects.latest("id")

    assert row
    assert (row.max_attempts, row.backoff_ms, row.actor, row.reason) == (5, 1000, "user:ann", "their server is small")
    assert (action.target, action.changes) == (
        f"job type {TYPE}",
        {"max_attempts": [None, 5], "backoff_ms": [None, 1000]},
    )
    assert not type_settings.set_overrides(TYPE, Overrides(5, 1000), actor="user:ann", reason="again")
    change()
    assert type_settings.current() == {}
    assert OperatorAction.objects.latest("id").changes == {"max_attempts": [5, None], "backoff_ms": [1000, None]}


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_attempts", 0), ("max_attempts", 1001), ("backoff_ms", -1), ("timeout_s", 86_401), ("concurrency", 0)],
)
def test_a_value_out_of_range_is_refused_by_its_field(redis: Redis, field: str, value: int) -> None:
    with pytest.raises(InvalidSetting) as refused:
        change(**{field: value})

    assert refused.value.field == field
    assert not TypeSettings.objects.exists()


def test_a_reason_and_a_known_type_are_needed(redis: Redis) -> None:
    with pytest.raises(InvalidSetting, match="reason"):
        type_settings.set_overrides(TYPE, Overrides(1), actor="user:ann", reason=" ")
    with pytest.raises(InvalidJob):
        type_settings.set_overrides("NO_SUCH", Overrides(1), actor="user:ann", reason="why not")


def test_a_redis_that_lost_the_copy_gets_it_again(redis: Redis) -> None:
    """Until then a worker keeps what it knows; content that is none is as good as lost."""
    change(max_attempts=7)
    redis_copy.refresh(redis)
    redis.set(keys.TYPE_SETTINGS, "[]")
    redis_copy.refresh(redis)
    assert policies.policy_of(TYPE).max_attempts == 7
    redis.flushall()
    Reconciler(redis).poll()

    assert redis_copy.read(redis) == {TYPE: Overrides(max_attempts=7)}


def test_settings_that_are_changed_while_the_copy_is_compared_stay(redis: Redis) -> None:
    """The scheduler has read the old ones: it reads again, and does not publish them over the new."""
    change(max_attempts=7)
    read: list[dict[str, Overrides]] = []

    def find() -> dict[str, Overrides]:
        found = type_settings.current()
        if not read:
            change(max_attempts=9)
        read.append(found)
        return found

    redis_copy.sync(find, redis)

    assert redis_copy.read(redis) == {TYPE: Overrides(max_attempts=9)}
    assert overrides.of(TYPE) == Overrides(max_attempts=9)


def test_a_worker_that_starts_after_a_loss_of_redis_keeps_the_limits(
    start: Start, sandbox: SandboxApi, redis: Redis
) -> None:
    """Without a scheduler, which would publish them: no job more runs, not even at first."""
    change(concurrency=1)
    sandbox.control("POST", "faults", {"latencyMs": 100})
    jobs = submit(12)
    redis.flushall()
    enqueue.enqueue(jobs)
    start("rqworker", QUEUE_CONCURRENCY="10")
    most = 0

    def all_done() -> bool:
        nonlocal most
        most = max(most, Job.objects.filter(state=State.RUNNING).count())
        return not Job.objects.exclude(state__in=ENDED).exists()

    wait_until(all_done, within_s=60, what="all jobs ended")

    assert most == 1
    assert redis_copy.read(redis) == {TYPE: Overrides(concurrency=1)}


def test_the_policy_of_a_job_costs_no_query(redis: Redis) -> None:
    """Nor does its time limit: a process works with its copy."""
    change(max_attempts=7, timeout_s=5)
    redis_copy.refresh(redis)
    with CaptureQueriesContext(connection) as queries:
        policy, limit = policies.policy_of(TYPE), policies.time_limit_of(TYPE)

    assert (policy.max_attempts, limit.total_seconds(), len(queries)) == (7, 5, 0)


def test_a_type_that_is_gone_is_tried_once(redis: Redis) -> None:
    """Its jobs of an earlier release end; the time limit is the general one."""
    policy = policies.policy_of("GONE")

    assert (policy.max_attempts, policy.idempotent, policy.may_resend) == (1, False, False)
    assert policies.time_limit_of("GONE") == settings.JOB_TIMEOUT
