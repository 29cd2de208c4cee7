"""Writing to Redis can delay jobs and nothing more: nothing there is executed or unpickled."""

import json
import time
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from django.utils import timezone
from redis import Redis
from rq import requeue_job

from jobs import counters
from tests.support.ledger import state_of
from tests.support.poison import Mark, enqueue, plant, poison_results
from tests.support.processes import Start
from tests.support.receivers import HttpReceiver
from tests.support.rq_pages import QUEUES, pages
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import submit, work

pytestmark = pytest.mark.django_db(transaction=True)
DEFAULT, NORMAL = 1, 4  #: the dashboard numbers queues by name
WEBHOOK = {"url": "http://127.0.0.1:9/", "job_status": "failed"}


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Mark]:
    """A file that must not be there when the test ends."""
    mark = Mark(tmp_path / "mark")
    yield mark
    assert not mark.is_there, "code from Redis ran"


def failed_ids(redis: Redis) -> set[str]:
    """The ids that stand in the registry of failed jobs of `default`."""
    found: Any = redis.zrange("rq:failed:default", 0, -1)
    return {i.decode() for i in found}


def test_no_worker_runs_code_named_in_redis(start: Start, sandbox: SandboxApi, redis: Redis, mark: Mark) -> None:
    """os.system on every queue, in each serializer's form: set aside, and our jobs behind it run."""
    planted = {enqueue(redis, data, queue=queue) for queue in QUEUES for _, data in mark.calls()}
    jobs = submit(3)

    start("rqworker")

    wait_until(lambda: all(state_of(job) == "SUCCEEDED" for job in jobs), what="ours ran")
    wait_until(lambda: failed_ids(redis) == planted, what="forged jobs are moved aside")


def list_everywhere(redis: Redis, rq_id: str) -> None:
    """Put an id into every list that the dashboard shows."""
    now = time.time()
    for queue in QUEUES:
        redis.rpush(f"rq:queue:{queue}", rq_id)
        for registry in ("finished", "failed", "scheduled", "deferred"):
            redis.zadd(f"rq:{registry}:{queue}", {rq_id: now + 1000})
        redis.zadd(f"rq:wip:{queue}", {f"{rq_id}:1": now + 1000})
    redis.zadd("rq:scheduler:scheduled_jobs", {rq_id: now + 1000})
    redis.hset(f"rq:execution:{rq_id}:1", mapping={"created_at": now, "last_heartbeat": now, "worker_name": "w"})


def test_no_page_unpickles(viewer: Client, redis: Redis, mark: Mark) -> None:
    """Poison as data, meta, result and return value, in every list: a viewer opens every page."""
    pickled = mark.as_pickle()
    rq_id = plant(redis, zlib.compress(pickled), meta=pickled, result=pickled, exc_info=pickled)
    poison_results(redis, rq_id, pickled)
    list_everywhere(redis, rq_id)

    answers = {page: viewer.get(page).status_code for page in list(pages(redis, rq_id))}

    assert {page: code for page, code in answers.items() if code != 200} == {}


def test_a_forged_hash_runs_its_row_or_nothing(start: Start, sandbox: SandboxApi, redis: Redis, mark: Mark) -> None:
    """Under IDs of rows and of none; and rows whose hash has lost its type."""
    mine = submit(6)
    forged = set()
    for _, data in mark.calls():
        for rq_id in ("", "no-uuid", "x" * 300):
            forged.add(enqueue(redis, data, queue="high", rq_id=rq_id, type="EVENT_EXPIRATION", campaign="c"))
    for job, (_, data) in zip(mine, mark.calls(), strict=False):
        plant(redis, data, queue="normal", rq_id=str(job.pk))
    for job, (_, data) in zip(mine[4:], mark.calls(), strict=False):
        redis.delete(f"rq:job:{job.pk}")
        plant(redis, data, queue="normal", rq_id=str(job.pk))

    start("rqworker")

    wait_until(lambda: all(state_of(job) == "SUCCEEDED" for job in mine), what="ours ran, by their ids")
    wait_until(lambda: failed_ids(redis) == forged, what="the others are moved aside")


@pytest.mark.parametrize("worker_class", ["rq.SimpleWorker", "rq.Worker"])
def test_rq_s_workers_run_our_jobs_and_no_others(
    start: Start, sandbox: SandboxApi, redis: Redis, mark: Mark, worker_class: str
) -> None:
    """`rqworker --worker-class`: os.system fails, by name or as a callback; our job is done."""
    (job,) = submit(1)
    planted = [enqueue(redis, data, queue="critical") for _, data in mark.calls()]
    callbacks = dict.fromkeys(("success_callback_name", "failure_callback_name", "stopped_callback_name"), "os.system")
    ours = zlib.compress(json.dumps(["jobs.engine.worker.perform.perform", None, [], {}]).encode())
    planted.append(enqueue(redis, ours, queue="critical", **callbacks))

    start("rqworker", "--worker-class", worker_class, "--burst")

    wait_until(lambda: state_of(job) == "SUCCEEDED", what="ours ran")
    for rq_id in planted:
        assert redis.hget(f"rq:job:{rq_id}", "status") == b"failed"


def test_spawned_workers_and_other_serializers_are_refused(start: Start) -> None:
    """Their processes would unpickle whatever they are given."""
    for words in (("--worker-class", "rq.SpawnWorker"), ("--serializer", "rq.serializers.PickleSerializer")):
        running = start("rqworker", *words)
        assert running.process.wait(timeout=60) == 1
        assert "Error: --" in running.log.read_text()


def test_the_scheduler_runs_no_code_named_in_redis(start: Start, redis: Redis, sandbox: SandboxApi, mark: Mark) -> None:
    """In rq-scheduler's set with classes to import, or abandoned with callbacks to call."""
    planted = set()
    callbacks = {"failure_callback_name": "os.system", "stopped_callback_name": "os.system"}
    for _, data in mark.calls():
        meta = json.dumps(
            {"queue_class_name": "tests.support.poison.import_me", "interval": "x", "cron_string": "*", "repeat": []}
        )
        planted.add(due := plant(redis, data, meta=meta, **callbacks))
        redis.zadd("rq:scheduler:scheduled_jobs", {due: time.time() - 1})
        lost = plant(redis, data, status="started", webhooks=json.dumps([WEBHOOK]), **callbacks)
        for queue in QUEUES:
            redis.zadd(f"rq:wip:{queue}", {f"{lost}:1": time.time() - 100})
            redis.zadd(f"rq:ready:{queue}", {lost: 1})
    redis.zadd("rq:scheduler:scheduled_jobs", {b"\xff\xfe": time.time() - 2, b"x y": -1e300, b"no-job": "-inf"})
    (job,) = submit(1, due_at=timezone.now() + timedelta(seconds=1))

    start("rqscheduler")
    start("rqworker")

    wait_until(lambda: state_of(job) == "SUCCEEDED", what="ours was due and ran")
    wait_until(lambda: planted <= failed_ids(redis), what="what was due is moved aside")
    wait_until(lambda: not redis.zcard("rq:scheduler:scheduled_jobs"), what="nothing odd is left there")


def test_refused_jobs_are_listed_with_their_reason_and_counted(viewer: Client, redis: Redis, mark: Mark) -> None:
    """As failed jobs of `default`, on their page and as a metric; requeueing one fails again."""
    (_, data), *_ = mark.calls()
    rq_id = enqueue(redis, data, queue="high")
    work(redis)

    assert rq_id in viewer.get(f"/admin/queues/queues/{DEFAULT}/failed/").content.decode()
    page = viewer.get(f"/admin/queues/queues/{DEFAULT}/{rq_id}/").content.decode()
    assert "Not run: RUN_FOREIGN_RQ_JOBS is false" in page
    requeue_job(rq_id, connection=redis)
    work(redis)
    counters.flush()
    assert failed_ids(redis) == {rq_id}
    assert counters.read(redis)["foreign_rq_jobs", "refused"] == 2


@pytest.mark.usefixtures("foreign_jobs")
@pytest.mark.parametrize(
    ("call", "more", "runs"),
    [
        (["builtins.len", None, ["four"], {}], {}, True),
        (["os.system", None, ["true"], {}], {}, False),
        (["len", None, ["four"], {}], {}, False),
        (["builtins.len.__call__", None, ["four"], {}], {}, False),
        (["ljust", "text", [10], {}], {}, False),
        (["builtins.len", None, ["four"], {}], {"success_callback_name": "os.system"}, False),
        (["builtins.len", None, ["four"], {}], {"failure_callback_name": "os.system"}, False),
        (["builtins.len", None, ["four"], {}], {"stopped_callback_name": "builtins.print"}, False),
        ([["builtins.len"], None, ["four"], {}], {}, False),
        (["builtins.len", None, "four", {}], {}, False),
        (["builtins.len"], {}, False),
    ],
)
def test_plain_rq_jobs_run_listed_functions_only(
    redis: Redis, call: list[Any], more: dict[str, str], runs: bool
) -> None:
    """If enabled: the function and each callback must be listed exactly."""
    rq_id = enqueue(redis, zlib.compress(json.dumps(call).encode()), **more)

    work(redis)

    assert redis.hget(f"rq:job:{rq_id}", "status") == (b"finished" if runs else b"failed")
    assert (rq_id in failed_ids(redis)) is not runs


def test_a_hash_sends_no_webhooks(redis: Redis, receiver: HttpReceiver) -> None:
    """RQ's webhooks would send requests from inside our network."""
    hook = {"url": receiver.url, "job_status": "failed", "method": "POST"}
    receiver.gate.set()
    with override_settings(RUN_FOREIGN_RQ_JOBS=True, RUN_FOREIGN_RQ_FUNCTIONS=frozenset({"builtins.int"})):
        call = zlib.compress(json.dumps(["builtins.int", None, ["four"], {}]).encode())
        enqueue(redis, call, webhooks=json.dumps([hook]))
        work(redis)

    assert receiver.got == []
