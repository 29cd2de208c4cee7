"""A Redis without free memory refuses what adds to it; workers go on, which makes room."""

from collections.abc import Callable, Iterator
from typing import Any

import django_rq
import pytest
from django.conf import settings as project
from redis import Redis
from redis.exceptions import ResponseError

from jobs import control, pauses
from jobs.broker import enqueue, keys
from jobs.engine.worker.worker import Worker
from jobs.models import Job, PauseKind
from jobs.processes.heartbeat import Heartbeat, StopRequested
from jobs.processes.lease import Lease
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import submit, submit_failing, work

pytestmark = pytest.mark.django_db(transaction=True)
QUEUE = "rq:queue:normal"


@pytest.fixture
def fill(redis: Redis) -> Iterator[Callable[[], object]]:
    """Fills Redis until the test ends."""
    yield lambda: redis.config_set("maxmemory", 1)
    redis.config_set("maxmemory", 0)


@pytest.fixture
def worker(redis: Redis, sandbox: SandboxApi, settings: Any) -> Iterator[Worker]:
    """With one slot; it was registered while there was room."""
    settings.QUEUE_CONCURRENCY = 1
    pauses.publish(redis)
    worker = Worker([django_rq.get_queue(name) for name in project.RQ_QUEUES], connection=redis)
    worker.register_birth()  # type: ignore[no-untyped-call]  # RQ's own, which has no types
    worker.cycles.start(lead=False)
    yield worker
    worker.cycles.stop()


def test_a_worker_goes_on_while_redis_is_full(worker: Worker, redis: Redis, fill: Callable[[], object]) -> None:
    """All that it has to tell Redis needs memory: ends, dead letters and its heartbeat."""
    submit(3)
    submit_failing(2)
    submit(3, campaign_id="campaign-1")
    fill()

    def run() -> bool:
        worker.cycles.run(first=worker.check_in)
        return not Job.objects.filter(state__in=["QUEUED", "RUNNING"]).exists()

    wait_until(run, what="all jobs have ended")
    worker.cycles.sync()

    assert sorted(Job.objects.values_list("state", flat=True)) == ["DEAD"] * 2 + ["SUCCEEDED"] * 6
    assert redis.zcard(keys.TAKEN) == redis.llen(QUEUE) == 0
    assert redis.zcard("rq:finished:normal") == 6


def test_what_takes_jobs_out_of_a_full_redis_works(redis: Redis, fill: Callable[[], object]) -> None:
    """Cancelling, pausing, removing and recounting; only what would bring jobs in is refused."""
    first, second, third = submit(3)
    fill()

    enqueue.dequeue([first])
    django_rq.get_queue("normal").remove(str(second.pk))
    enqueue.recount("normal")
    pauses.pause(PauseKind.CAMPAIGN, "campaign-2", actor="user:olga", reason="full")

    assert keys.texts(redis.lrange(QUEUE, 0, -1)) == [str(third.pk)]
    assert redis.hexists(keys.PAUSED, "campaign:campaign-2")
    with pytest.raises(ResponseError, match="maxmemory"):
        enqueue.enqueue([first])


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_a_stop_is_heard_while_redis_is_full(
    worker: Worker, redis: Redis, fill: Callable[[], object], role: str
) -> None:
    """By a worker, and by a process that leads; their heartbeats arrive, so none is taken for lost."""
    leader = Heartbeat("scheduler", "one", redis)
    leader.beat("standby")
    worker.check_in()
    assert worker.cycles.takes
    fill()
    (status,) = [one for one in control.processes() if one.role == role]

    control.ask_to_stop(status.key, actor="user:olga", reason="make room")

    if role == "scheduler":
        with pytest.raises(StopRequested):
            leader.beat_or_stop("active")
    else:

        def is_told() -> bool:
            worker.check_in()
            return not worker.cycles.takes

        wait_until(is_told, what="it fetches nothing more")
    (told,) = [one for one in control.processes() if one.role == role]
    assert told.stop_asked
    assert told.at > status.at


def test_a_process_starts_while_redis_is_full(redis: Redis, sandbox: SandboxApi, fill: Callable[[], object]) -> None:
    """A worker runs jobs, which makes room; RQ's tools list it once there is. Of two schedulers one leads."""
    submit(3)
    pauses.publish(redis)
    fill()

    work(redis)
    first, second = (Lease("scheduler", redis) for _ in range(2))

    assert set(Job.objects.values_list("state", flat=True)) == {"SUCCEEDED"}
    assert [first.hold(), second.hold(), first.hold()] == [True, False, True]
