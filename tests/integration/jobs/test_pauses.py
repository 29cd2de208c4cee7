"""Pauses, with the worker in this process: paused jobs wait, all others run, and none is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import django_rq
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis
from rq.job import Job as RQJob

from jobs import control, pauses, service
from jobs.broker import keys
from jobs.broker.scripts import FAIR_SHARE
from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.worker import rq_mirror
from jobs.errors import InvalidPause
from jobs.models import Job, OperatorAction, Pause
from ops.admin import dashboard
from ops.reads import job as job_page
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import claim_order, submit, work

pytestmark = pytest.mark.django_db(transaction=True)


def states(jobs: list[Job]) -> set[str]:
    """The states that jobs are in."""
    return set(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("state", flat=True))


def pause(kind: str, name: str, minutes: int | None = None) -> Pause:
    """A pause by ann."""
    until = None if minutes is None else timezone.now() + timedelta(minutes=minutes)
    return pauses.pause(kind, name, until=until, actor="user:ann", reason="calm down")


@pytest.mark.parametrize(
    ("kind", "name"), [("campaign", "campaign-1"), ("type", "RECALCULATE_SETTLEMENT_SCHEDULES"), ("queue", "high")]
)
def test_paused_jobs_wait_while_all_others_run(redis: Redis, sandbox: SandboxApi, kind: str, name: str) -> None:
    """They stay QUEUED however often workers fetch, and run once, in order, when resumed."""
    held = submit(5, type="RECALCULATE_SETTLEMENT_SCHEDULES", campaign_id="campaign-1", priority="HIGH")
    others = submit(5, campaign_id="campaign-2")
    pause(kind, name)

    work(redis)
    work(redis)

    assert (states(held), states(others)) == ({"QUEUED"}, {"SUCCEEDED"})
    assert django_rq.get_queue("high").count == 5
    shown = {queue.priority.queue: queue for queue in dashboard.read_queues()}
    assert (shown["high"].depth, shown["high"].held_back, shown["high"].oldest_due) == (5, 5, held[0].due_at)
    assert pauses.resume(kind, name, actor="user:bob", reason="go on")
    work(redis)
    assert states(held) == {"SUCCEEDED"}
    assert claim_order(held) == [str(job.pk) for job in held]
    assert not redis.keys("scheduler:parked*")


def test_a_job_for_all_campaigns_skips_paused_ones(redis: Redis, sandbox: SandboxApi) -> None:
    """The cron task's event expiration; the first one after the pause includes them again."""

    def expired() -> int:
        events = sandbox.world()["events"].values()
        return sum(e["isCompleted"] for e in events if e["campaignId"] == "campaign-1")

    def looked_at() -> object:
        (job,) = submit(1, campaign_id="")
        work(redis)
        return (Job.objects.get(pk=job.pk).result or {}).get("campaigns")

    before = expired()
    pause("campaign", "campaign-1")
    assert (looked_at(), expired()) == (1, before)
    pauses.resume("campaign", "campaign-1", actor="user:ann")

    assert looked_at() == 2
    assert expired() > before


def test_a_pause_ends_by_itself(redis: Redis, sandbox: SandboxApi) -> None:
    """The next fetch takes its jobs without operator or scheduler; the scheduler records its end."""
    jobs = submit(3)
    held = pause("campaign", "campaign-2", minutes=10)
    work(redis)
    assert states(jobs) == {"QUEUED"}

    soon = timezone.now() - timedelta(seconds=1)
    Pause.objects.filter(pk=held.pk).update(until=soon)
    redis.hset(keys.PAUSED, held.key, soon.timestamp())
    work(redis)
    assert states(jobs) == {"SUCCEEDED"}
    pauses.sync(redis)

    held.refresh_from_db()
    assert (held.ended_by, held.ended_reason) == ("scheduler", "expired")
    assert redis.hgetall(keys.PAUSED) == {b"known": b""}


def test_the_end_of_a_pause_wakes_an_idle_worker(start: Start, redis: Redis, sandbox: SandboxApi) -> None:
    """A real worker, without operator or scheduler: not before the end, and soon after."""
    start("rqworker")
    wait_until(control.processes, what="the worker has said a word")
    until = timezone.now() + timedelta(seconds=2)
    pauses.pause("type", "EVENT_EXPIRATION", until=until, actor="user:ann")
    (job,) = submit(1)

    wait_until(lambda: states([job]) == {"SUCCEEDED"}, what="it ran")

    job.refresh_from_db()
    assert job.started_at is not None
    assert job.started_at >= until


def test_ten_thousand_paused_jobs_delay_no_other(redis: Redis, sandbox: SandboxApi) -> None:
    """They are parked once, no later fetch reads them, and a job behind them runs at once."""
    held = submit(10_000, type="RECALCULATE_SETTLEMENT_SCHEDULES", campaign_id="campaign-1")
    (other,) = submit(1, campaign_id="campaign-1")
    pause("type", "RECALCULATE_SETTLEMENT_SCHEDULES")

    work(redis)
    assert (states(held), states([other])) == ({"QUEUED"}, {"SUCCEEDED"})
    redis.config_resetstat()
    work(redis)

    calls = redis.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"]  # one for each id that is looked at
    assert calls < 100
    assert django_rq.get_queue("normal").count == 10_000


def test_a_paused_campaign_s_backlog_stays_in_place(redis: Redis, sandbox: SandboxApi) -> None:
    """Only its share of the queue's list is parked; afterwards everything runs in order."""
    jobs = submit(FAIR_SHARE * 3, campaign_id="campaign-1")
    pause("campaign", "campaign-1")

    work(redis)

    assert redis.llen(keys.PARKED_IDS.format("normal:campaign:campaign-1")) == FAIR_SHARE
    assert redis.llen(keys.BACKLOG.format("normal", "campaign-1")) == FAIR_SHARE * 2
    more = submit(FAIR_SHARE * 3 + 2, campaign_id="campaign-1")[FAIR_SHARE * 3 :]
    work(redis)
    assert states(jobs) == {"QUEUED"}
    pauses.resume("campaign", "campaign-1", actor="user:ann")
    work(redis)
    assert states(jobs + more) == {"SUCCEEDED"}
    assert not redis.keys("scheduler:backlog*")
    assert not redis.keys("scheduler:share*")


def test_everything_parked_in_several_fetches_comes_back(
    redis: Redis, sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker in burst mode does not stop between two such fetches."""
    monkeypatch.setattr(rq_mirror, "MOST_PARKED", 20)
    jobs = submit(50)
    pause("type", "EVENT_EXPIRATION")
    work(redis)
    assert redis.llen(keys.PARKED_IDS.format("normal:type:EVENT_EXPIRATION")) == 50

    pauses.resume("type", "EVENT_EXPIRATION", actor="user:ann")
    work(redis)

    assert states(jobs) == {"SUCCEEDED"}
    assert not redis.keys("scheduler:parked*")


def test_a_flushed_redis_still_respects_pauses(redis: Redis, sandbox: SandboxApi) -> None:
    """A worker that finds no pauses in Redis fetches nothing before the database was read."""
    jobs = submit(3)
    pause("campaign", "campaign-2")
    redis.flushall()
    service.cancel(jobs[:1], actor="test", reason="so that there is something new")
    service.retry(jobs[:1], actor="test", reason="it is carried into the empty Redis")

    work(redis)
    Reconciler(redis).poll()
    work(redis)

    assert states(jobs) == {"QUEUED"}
    pauses.resume("campaign", "campaign-2", actor="user:ann")
    work(redis)
    assert states(jobs) == {"SUCCEEDED"}


def test_wrong_pauses_in_redis_are_corrected(redis: Redis) -> None:
    """The scheduler's next round publishes what the database has."""
    held = pause("queue", "low")
    redis.hdel(keys.PAUSED, held.key)
    redis.hset(keys.PAUSED, "campaign:c-9", "")

    pauses.sync(redis)

    assert redis.hgetall(keys.PAUSED) == {b"known": b"", b"queue:low": b""}


def test_parked_jobs_can_be_cancelled(redis: Redis) -> None:
    """They leave the parked list and do not come back."""
    jobs = submit(3)
    pause("campaign", "campaign-2")
    work(redis)

    service.cancel(jobs[:1], actor="test", reason="no longer wanted")

    assert django_rq.get_queue("normal").get_job_ids() == [str(job.pk) for job in jobs[1:]]


def test_the_reconciler_leaves_parked_jobs_alone(redis: Redis) -> None:
    """It does not enqueue them as if they had been lost."""
    jobs = submit(3)
    Job.objects.update(moved_at=timezone.now() - timedelta(hours=1))
    reconciler = Reconciler(redis)
    while reconciler.poll() == 0:
        pass
    pause("campaign", "campaign-2")
    work(redis)

    reconciler.poll()
    reconciler.poll()

    assert redis.llen("rq:queue:normal") == 0
    assert all(redis.exists(RQJob.key_for(str(job.pk))) for job in jobs)


def test_a_pause_says_who_until_when_and_why(redis: Redis) -> None:
    """On the job's page, among operator actions, and in one query for all pauses."""
    (job,) = submit(1)
    pause("campaign", "campaign-2", minutes=5)
    pause("queue", "normal")

    with CaptureQueriesContext(connection) as queries:
        held = pauses.blocking_pauses(job, pauses.active())
    why = job_page.explain(job, None, timezone.now(), held)

    assert len(queries) == 1
    assert "Campaign campaign-2 is paused by ann until 2" in why
    assert "Queue normal is paused by ann until resumed (calm down)" in why
    act = OperatorAction.objects.latest("id")
    assert (act.verb, act.target, act.actor, act.reason) == ("paused", "queue normal", "user:ann", "calm down")
    assert act.changes == {"until": [None, "until resumed"]}


def test_pausing_again_changes_the_end_and_keeps_the_history(redis: Redis) -> None:
    """One pause is active at a time; the history shows who paused before."""
    first = pause("queue", "low", minutes=5)
    second = pause("queue", "low", minutes=50)

    first.refresh_from_db()
    assert (first.ended_by, first.ended_reason) == ("user:ann", "replaced by another")
    assert pauses.active() == [second]
    assert not pauses.resume("queue", "high", actor="user:ann")
    assert first.until
    assert second.until
    pause("queue", "low")
    ends = [first.until.isoformat(), second.until.isoformat(), "until resumed"]
    changes = [act.changes for act in OperatorAction.objects.order_by("id")]
    assert changes == [{"until": [was, now]} for was, now in zip([None, *ends], ends, strict=False)]


def test_those_who_pause_the_same_at_once_succeed(redis: Redis) -> None:
    """One replaces the other, whether it was paused before or not; one pause is left."""
    for _ in range(3):
        pauses.resume("campaign", "c-1", actor="test")
        for _ in range(2):
            together = threading.Barrier(3)

            def press(name: str, together: threading.Barrier = together) -> str:
                try:
                    together.wait(10)
                    return pauses.pause("campaign", "c-1", actor=f"user:{name}", reason=name).actor
                finally:
                    connection.close()

            with ThreadPoolExecutor(3) as threads:
                assert set(threads.map(press, ["ann", "bob", "eve"])) == {"user:ann", "user:bob", "user:eve"}
            assert len(pauses.active()) == 1


def test_the_same_pause_twice_is_one(redis: Redis) -> None:
    """A second press changes nothing, so Undo resumes; with another reason it replaces the first."""
    first = pauses.pause("queue", "low", actor="user:ann", reason="calm down")

    assert pauses.pause("queue", "low", actor="user:bob", reason="calm down ") == first
    assert OperatorAction.objects.count() == 1
    assert pauses.pause("queue", "low", actor="user:bob", reason="deploy") != first
    assert OperatorAction.objects.count() == 2


@pytest.mark.parametrize(
    ("kind", "name", "minutes", "field"),
    [
        ("moon", "x", None, "kind"),
        ("queue", "fast", None, "name"),
        ("type", "NOTHING", None, "name"),
        ("campaign", "", None, "name"),
        ("campaign", "c" * 256, None, "name"),
        ("queue", "low", -1, "until"),
        ("queue", "low", 60 * 24 * 4000, "until"),
    ],
)
def test_an_invalid_pause_is_rejected(redis: Redis, kind: str, name: str, minutes: int | None, field: str) -> None:
    """With the name of the wrong value; nothing is stored."""
    with pytest.raises(InvalidPause) as refused:
        pause(kind, name, minutes)

    assert refused.value.field == field
    assert not Pause.objects.exists()
