"""Types and payload versions of a newer release: workers leave them to that release."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.broker import depths, keys
from jobs.broker.scripts import FAIR_SHARE
from jobs.engine.scheduler.rescuer import Rescuer
from jobs.engine.worker import attempt
from jobs.models import Job
from jobs.registry import Item, Payload
from monitoring import health
from monitoring.alerting.conditions import Conditions
from monitoring.checks import CHECKS
from ops.reads.blockers import find_blockers
from tests.support import releases
from tests.support.claiming import claiming_worker, take
from tests.support.working import submit, work

pytestmark = pytest.mark.django_db(transaction=True)
KIND = "EVENT_EXPIRATION"
PARKED = keys.PARKED_IDS.format(keys.NEWER.format("normal", KIND, 2))


class Named(Payload, frozen=True, kw_only=True):
    """The payload of version 2."""

    name: str


def name_it(payload: dict[str, Any]) -> dict[str, Any]:
    """From version 1, which had no name, to version 2."""
    return {**payload, "name": "upgraded"}


@pytest.fixture
def seen() -> list[str]:
    """The names that the newer release's handler was given."""
    return []


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch, seen: list[str]) -> Any:
    """Makes this process a newer release, whose payloads have a name."""

    def handle(items: Sequence[Item]) -> list[None]:
        seen.extend(payload.name for payload, _ in items)
        return [None for _ in items]

    return lambda: releases.declare(monkeypatch, KIND, payload=Named, upgrades=(name_it,), handle=handle)


def submit_newer(monkeypatch: pytest.MonkeyPatch, n: int = 1) -> list[Job]:
    """Jobs of the newer release, found by this one."""
    with monkeypatch.context() as patch:
        releases.declare(patch, KIND, payload=Named, upgrades=(name_it,))
        return submit(n, payload={"name": "new"})


def are_untouched(jobs: list[Job]) -> bool:
    """Whether they still wait, without an attempt."""
    return ends(jobs) == {("QUEUED", 0)}


def ends(jobs: list[Job]) -> set[tuple[str, int]]:
    """Their states and attempts."""
    return set(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("state", "attempt"))


def test_an_older_worker_leaves_a_newer_payload_to_a_newer_one(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, newer: Any, seen: list[str]
) -> None:
    """It parks each once and does the others; the newer worker does both versions."""
    ahead = submit_newer(monkeypatch, 2 * FAIR_SHARE + 1)
    old = submit(1, campaign_id="campaign-1")

    work(redis)
    work(redis)

    assert are_untouched(ahead)
    assert redis.llen(PARKED) == len(ahead)
    assert redis.hget(f"rq:job:{ahead[0].pk}", "status") == b"queued"
    assert Job.objects.get(pk=old[0].pk).attempt == 1
    later = submit(1, campaign_id="campaign-3")
    newer()
    work(redis)

    assert ends([*ahead, *later]) == {("SUCCEEDED", 1)}
    assert sorted(seen) == ["new"] * len(ahead) + ["upgraded"]
    assert not redis.exists(PARKED)
    assert not redis.smembers(keys.PARKED)


def test_a_worker_leaves_unknown_types_alone(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither it nor RQ's own worker dead-letters them, and the rescuer ends no attempt of theirs."""
    (job,) = submit(1)
    with monkeypatch.context() as patch:
        releases.forget(patch, KIND)
        work(redis)
        assert are_untouched([job])
        assert attempt.claim([str(job.pk)], worker="w", now=timezone.now()) == []

    attempt.claim([str(job.pk)], worker="w", now=timezone.now() - timedelta(hours=1))
    monkeypatch.setattr(Rescuer, "can_trust_leases", lambda _self, _now: True)
    with monkeypatch.context() as patch:
        releases.forget(patch, KIND)
        Rescuer(redis).free_expired(timezone.now())
        assert Job.objects.get(pk=job.pk).state == "RUNNING"
    Rescuer(redis).free_expired(timezone.now())  # a newer release's
    assert Job.objects.get(pk=job.pk).state == "RETRYING"


def test_older_and_newer_workers_together_do_not_spin(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer worker unparks a few with each fetch, so an older one has little to park again."""
    submit_newer(monkeypatch, 5 * FAIR_SHARE)
    work(redis)
    assert redis.llen(PARKED) == 5 * FAIR_SHARE
    with monkeypatch.context() as patch:
        releases.declare(patch, KIND, upgrades=(name_it,))
        worker = claiming_worker(redis)
        worker.cycles.fetch.begin(timezone.now(), idle=1, limit=None)
        worker.cycles.fetch.end()

    assert redis.llen(PARKED) == 4 * FAIR_SHARE
    work(redis)
    assert redis.llen(PARKED) == 5 * FAIR_SHARE - len(worker.cycles.fetch.groups)


def test_a_cancelled_job_is_unparked(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the list of jobs that wait for a newer release."""
    cancelled, kept = submit_newer(monkeypatch, 2)
    work(redis)

    service.cancel([Job.objects.get(pk=cancelled.pk)], actor="test", reason="not wanted")

    assert redis.lrange(PARKED, 0, -1) == [str(kept.pk).encode()]


def test_a_claim_reads_the_version_in_the_database(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Redis says: the claim leaves the job alone, and the next fetch parks it."""
    (job,) = submit_newer(monkeypatch)
    redis.hdel(f"rq:job:{job.pk}", "version")
    worker = claiming_worker(redis)

    assert take(worker) == [str(job.pk)]
    worker.cycles.recorder.record_and_claim(timezone.now(), worker.concurrency)

    assert are_untouched([job])
    assert redis.zscore(keys.SCHEDULED, str(job.pk)) is None  # not tried again every second
    assert take(worker) == []
    assert redis.lrange(PARKED, 0, -1) == [str(job.pk).encode()]


def test_operators_see_jobs_that_wait_for_a_newer_release(
    redis: Redis, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the job's page, in the queue's health, and in the alert about queue delay."""
    (job,) = submit_newer(monkeypatch)
    work(redis)

    assert "waits for a worker of a newer release" in " ".join(find_blockers(job, timezone.now()))
    releases.declare(monkeypatch, KIND, upgrades=(name_it,))  # the web process may be of the newer release
    assert "waits for a worker of a newer release" in " ".join(find_blockers(job, timezone.now()))
    assert sum(depth.newer for depth in depths.read(redis).values()) == 1
    component = health.examine(CHECKS["rqQueue"])
    assert (component.status, "Waiting for a newer release: 1" in component.message) == ("up", True)
    Job.objects.filter(pk=job.pk).update(moved_at=timezone.now() - timedelta(hours=1))
    assert health.examine(CHECKS["rqQueue"]).status == "degraded"
    found = {name: health.examine(check) for name, check in CHECKS.items()}
    (lag,) = [f for f in Conditions().check(found, timezone.now(), still_open=frozenset())[0] if f.kind == "queue_lag"]
    assert "1 job waits for a worker of a newer release" in lag.message
