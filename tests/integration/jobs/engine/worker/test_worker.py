"""The worker in this process, with a real Redis and the sandbox: what it runs, in which order, and how often."""

import signal
from datetime import timedelta

import django_rq
import pytest
from django.conf import settings
from django.db.models import Sum
from django.utils import timezone
from redis import Redis
from rq.job import Job as RQJob

from jobs import service
from jobs.broker import enqueue, keys
from jobs.broker.scripts import FAIR_SHARE
from jobs.engine.scheduler.retention import Retention, fold_outcomes
from jobs.models import Job, OutcomeMinute
from jobs.processes import loop
from jobs.states import Priority
from tests.support.servers import SandboxApi
from tests.support.working import claim_order, submit, work

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_enqueued_twice_runs_once(redis: Redis, sandbox: SandboxApi) -> None:
    """Its ID is in the queue three times; it is claimed, run and audited once."""
    (job,) = submit(1)
    enqueue.enqueue([job])
    enqueue.enqueue([job])

    work(redis)

    assert [entry.now for entry in job.audit_trail.all()] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert sandbox.control("GET", "stats")["operations"]["getOverdueEvents"] == 1


def test_signals_work_after_waiting_for_redis(redis: Redis) -> None:
    """A process told to stop between its wait and its work stops, whatever the worker's class."""
    before = signal.getsignal(signal.SIGTERM)

    assert loop.wait_for_redis(name="worker")

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_critical_job_starts_next(redis: Redis, sandbox: SandboxApi) -> None:
    """Queues are worked strictly in the order of their priorities."""
    jobs = {p: submit(20, priority=p.value) for p in (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.CRITICAL)}

    work(redis)

    order = claim_order([job for group in jobs.values() for job in group])
    wanted = [jobs[p] for p in (Priority.CRITICAL, Priority.HIGH, Priority.NORMAL, Priority.LOW)]
    assert [set(order[n * 20 : n * 20 + 20]) for n in range(4)] == [{str(job.pk) for job in group} for group in wanted]


def test_a_busy_campaign_delays_another_by_one_share(redis: Redis, sandbox: SandboxApi) -> None:
    """A campaign's only job waits for one share of each other campaign, not for their backlogs."""
    busy = submit(600, campaign_id="campaign-1")
    (single,) = submit(1, campaign_id="campaign-2")

    work(redis)

    position = claim_order([*busy, single]).index(str(single.pk))
    assert position <= FAIR_SHARE + settings.QUEUE_CONCURRENCY
    assert Job.objects.filter(state="SUCCEEDED").count() == 601


def test_a_backlog_is_worked_in_order_and_leaves_nothing_behind(redis: Redis, sandbox: SandboxApi) -> None:
    """Jobs beyond the share wait in the backlog, which RQ's queue counts and lists; all are done."""
    jobs = submit(FAIR_SHARE * 3)
    queue = django_rq.get_queue("normal")
    ids = [str(job.pk) for job in jobs]

    assert queue.count == FAIR_SHARE * 3
    assert queue.get_job_ids() == ids
    assert queue.get_job_ids(FAIR_SHARE - 10, 20) == ids[FAIR_SHARE - 10 : FAIR_SHARE + 10]
    assert redis.llen(queue.key) == FAIR_SHARE
    work(redis)

    assert claim_order(jobs) == ids
    assert queue.count == 0
    assert not redis.keys("scheduler:share:*")
    assert not redis.keys("scheduler:backlog*")


def test_cancelled_jobs_leave_list_and_backlog(redis: Redis) -> None:
    """The list is refilled from the backlog; the rest stays as it was."""
    jobs = submit(FAIR_SHARE + 10)
    queue = django_rq.get_queue("normal")

    service.cancel([*jobs[:3], *jobs[-3:]], actor="test", reason="test")

    assert queue.get_job_ids() == [str(job.pk) for job in jobs[3:-3]]
    assert redis.llen(queue.key) == FAIR_SHARE
    assert queue.count == FAIR_SHARE + 4


def test_an_id_is_removed_from_whichever_list_it_is_in(redis: Redis) -> None:
    """By RQ's own call: from the list, which is refilled, and from the backlog; what has no such entry is not there."""
    jobs = [str(job.pk) for job in submit(FAIR_SHARE + 10)]
    queue = django_rq.get_queue("normal")
    redis.rpush(RQJob.key_for("odd"), "another type of key")

    for rq_id in (jobs[0], jobs[-1], "odd", "unknown"):
        queue.remove(rq_id)
    queue.remove(RQJob.fetch(jobs[1], connection=redis))

    assert queue.get_job_ids() == jobs[2:-1]
    assert queue.get_job_ids(FAIR_SHARE + 1, 3) == jobs[2:-1][FAIR_SHARE + 1 : FAIR_SHARE + 4]
    assert redis.llen(queue.key) == FAIR_SHARE


def test_a_queue_that_lost_its_counts_recovers(redis: Redis, sandbox: SandboxApi) -> None:
    """An evicted hash is written anew and takes nothing from its campaign's share."""
    jobs = submit(FAIR_SHARE * 2)
    for job in jobs[:FAIR_SHARE]:
        redis.delete(RQJob.key_for(str(job.pk)))

    work(redis)

    assert Job.objects.filter(state="SUCCEEDED").count() == FAIR_SHARE * 2
    assert not redis.keys("scheduler:share:*")


def test_a_campaign_regains_its_share_after_evictions(redis: Redis) -> None:
    """IDs of evicted or deleted jobs left the list and were never counted off."""
    lost = submit(FAIR_SHARE, campaign_id="campaign-1")
    busy = submit(5, campaign_id="campaign-2")
    queue = django_rq.get_queue("normal")
    for job in lost:
        redis.lrem(queue.key, 1, str(job.pk))
    (waiting,) = submit(1, campaign_id="campaign-1", due_at=timezone.now())
    assert redis.llen(queue.key) == len(busy)

    Retention(redis).clean_up(timezone.now())

    assert redis.lrange(queue.key, -1, -1) == [str(waiting.pk).encode()]
    assert redis.hgetall("scheduler:share:normal") == {b"campaign-1": b"1", b"campaign-2": b"5"}


@pytest.mark.usefixtures("foreign_jobs")
def test_a_plain_rq_job_runs_after_ours(redis: Redis, sandbox: SandboxApi) -> None:
    """From one of our queues it moves to `default` and runs as RQ would run it."""
    foreign = django_rq.get_queue("critical").enqueue(len, "four")
    jobs = submit(10, priority=Priority.LOW.value)

    work(redis)

    assert foreign.get_status(refresh=True) == "finished"
    assert foreign.return_value() == 4
    assert Job.objects.filter(pk__in=[job.pk for job in jobs], state="SUCCEEDED").count() == 10


def test_max_jobs_is_respected(redis: Redis, sandbox: SandboxApi) -> None:
    """A worker limited to three jobs does three."""
    submit(10)

    work(redis, max_jobs=3)

    assert Job.objects.filter(state="SUCCEEDED").count() == 3
    assert Job.objects.filter(state="QUEUED").count() == 7


def test_finished_jobs_are_kept_for_the_dashboard_by_count(redis: Redis, sandbox: SandboxApi) -> None:
    """RETENTION_COMPLETED of them, newest last; the others' hashes are gone from Redis."""
    jobs = submit(settings.RETENTION_COMPLETED + 30)

    work(redis)

    registry = django_rq.get_queue("normal").finished_job_registry
    assert len(registry) == settings.RETENTION_COMPLETED
    assert len(redis.keys("rq:job:*")) == settings.RETENTION_COMPLETED
    assert Job.objects.filter(pk__in=[job.pk for job in jobs], state="SUCCEEDED").count() == len(jobs)


def test_dead_letters_are_listed_among_rq_s_failed_jobs(redis: Redis, sandbox: SandboxApi) -> None:
    """With their traceback; a retry removes them."""
    (job,) = submit(
        1,
        type="SETTLEMENT_GROWTH",
        campaign_id="no-such",
        payload={"settlementId": "settlement-1-1-1", "growthType": "RESOURCE_GENERATION"},
    )
    work(redis)
    failed = django_rq.get_queue("normal").failed_job_registry

    job.refresh_from_db()
    assert (job.state, failed.get_job_ids()) == ("DEAD", [str(job.pk)])
    result = RQJob.fetch(str(job.pk), connection=redis).latest_result()
    assert result is not None
    assert "PermanentError" in str(result.exc_string)
    service.retry([job], actor="test", reason="again")
    assert failed.get_job_ids() == []


def test_a_scheduled_job_is_not_fetched(redis: Redis) -> None:
    """It is in no queue."""
    (job,) = submit(1, due_at=timezone.now() + timedelta(minutes=1))

    work(redis)

    job.refresh_from_db()
    assert job.state == "SCHEDULED"
    assert redis.zscore(keys.SCHEDULED, str(job.pk)) == pytest.approx(job.due_at.timestamp(), abs=1e-6)


def test_totals_survive_the_folding_of_old_minutes(redis: Redis, sandbox: SandboxApi) -> None:
    """A week later the minutes are one row with the same sums."""
    submit(7)
    work(redis)
    before = OutcomeMinute.objects.aggregate(jobs=Sum("jobs"), run=Sum("run_ms"))
    later = timezone.now() + timedelta(days=9)

    fold_outcomes(later)
    fold_outcomes(later)

    assert before["jobs"] == 7
    (row,) = OutcomeMinute.objects.all()
    assert (row.type, row.outcome, row.jobs, row.minute.year) == ("EVENT_EXPIRATION", "SUCCEEDED", 7, 1970)
    assert row.run_ms == pytest.approx(before["run"])
