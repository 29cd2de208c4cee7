"""Jobs reach Redis, whatever is there and whatever became of the connection."""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, NoReturn

import pytest
from django.utils import timezone
from redis import Redis
from structlog.testing import capture_logs

from jobs import service
from jobs.broker import enqueue, keys
from jobs.broker.scripts import Script
from jobs.models import Job
from jobs.states import State
from tests.support.working import submit, submit_one

QUEUE = "rq:queue:normal"


def queued_ids(redis: Redis) -> list[str]:
    return keys.texts(redis.lrange(QUEUE, 0, -1))


def close_connections(redis: Redis) -> None:
    redis.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("forget", [close_connections, Redis.script_flush], ids=["connection", "script"])
@pytest.mark.parametrize("calls", [1, 3])
def test_a_kept_connection_that_redis_has_forgotten_loses_no_job(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, forget: Callable[[Redis], None], calls: int
) -> None:
    """As a restarted Redis has, which knows neither the connection nor the script; however many calls of it."""
    monkeypatch.setattr(enqueue, "BATCH", 2)
    jobs = submit(1)
    forget(redis)
    jobs += submit(2 * calls, campaign_id="c-2") + submit(1, campaign_id="c-3")

    assert queued_ids(redis) == [str(job.pk) for job in jobs]


@pytest.mark.django_db(transaction=True)
def test_a_check_of_the_connection_takes_no_answer_for_its_own(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes due between two calls: redis-py makes one with the first call after 30 s without an answer."""
    monkeypatch.setattr(enqueue, "BATCH", 2)
    jobs = submit(1)
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", partial(next, count(time.monotonic(), 31)))
        jobs += submit(6, campaign_id="c-2")

    assert queued_ids(redis) == [str(job.pk) for job in jobs]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("due_in", [timedelta(0), timedelta(days=400)], ids=["known", "far off"])
def test_what_is_not_sent_leaves_no_answer_to_be_read(redis: Redis, due_in: timedelta) -> None:
    """The process would keep it, and open a connection for each that is to be read after it."""
    due_at = timezone.now() + due_in
    for number in range(3):
        submit_one(f"c-{number if due_in else 1}", due_at=due_at)
    submit(2)

    assert not enqueue.unread


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_recent", [False, True])
def test_only_who_submits_again_soon_does_not_wait_for_redis(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, is_recent: bool
) -> None:
    """The one after waits for both answers."""
    monkeypatch.setattr(enqueue, "RECENT_S", 60 if is_recent else 0)
    jobs = submit(1)
    redis.client_pause(1000)
    began = time.monotonic()
    jobs.append(submit_one("c-2"))

    assert (time.monotonic() < began + 0.9) is is_recent
    jobs.append(submit_one("c-3"))
    assert time.monotonic() > began + 0.9
    assert queued_ids(redis) == [str(job.pk) for job in jobs]


@pytest.mark.django_db(transaction=True)
def test_what_was_lost_on_its_way_is_enqueued_by_the_next_call(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has waited for the answer; but a connection that is closed already is not trusted."""
    monkeypatch.setattr(enqueue, "RECENT_S", 60)
    jobs = submit(1)
    close_connections(redis)
    jobs.append(submit_one("c-1"))
    assert queued_ids(redis) == [str(job.pk) for job in jobs]

    redis.script_flush()
    jobs.append(submit_one("c-2"))
    assert queued_ids(redis) == [str(job.pk) for job in jobs[:-1]]
    jobs.append(submit_one("c-3"))
    jobs += submit(1, campaign_id="c-4")
    assert queued_ids(redis) == [str(job.pk) for job in jobs]


@pytest.mark.django_db(transaction=True)
def test_an_error_that_nobody_waited_for_is_logged(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next call, whose own is logged at once: it has a new connection."""
    monkeypatch.setattr(enqueue, "RECENT_S", 60)
    submit(1)
    redis.config_set("maxmemory", 1)
    try:
        with capture_logs() as logs:
            refused = [submit_one("c-2"), submit_one("c-3"), submit_one("c-4")]
    finally:
        redis.config_set("maxmemory", 0)

    assert [line["event"] for line in logs] == ["enqueue.redis_unreachable"] * len(refused)
    assert not redis.exists(*(f"rq:job:{job.pk}" for job in refused))
    assert enqueue.enqueue(refused) == len(refused)


class Known(Redis):
    """A client of a thread that need not load a script."""

    def script_load(self, script: Any) -> NoReturn:
        raise AssertionError("Redis knows it")


def test_a_thread_that_loads_a_script_disturbs_no_other(redis: Redis) -> None:
    """The other one calls it after Redis has got to know it, and before the first thread has."""
    wanted = Script("remove")
    run = partial(wanted.run, queue="normal", campaign="c-1", id="no-such")
    others: list[int] = []

    class Loading(Redis):
        def script_load(self, script: Any) -> Any:
            name = super().script_load(script)
            others.append(run(Known(connection_pool=redis.connection_pool)))
            return name

    for _ in range(2):
        redis.script_flush()
        assert run(Loading(connection_pool=redis.connection_pool)) == 0

    assert others == [0, 0]


@pytest.mark.django_db(transaction=True)
def test_a_job_that_redis_knows_leaves_where_it_was(redis: Redis) -> None:
    """Its hash shall not expire with what it was before."""
    (job,) = submit(1, due_at=timezone.now() + timedelta(minutes=1))
    redis.zadd("rq:failed:normal", {str(job.pk): 1})
    redis.expire(f"rq:job:{job.pk}", 1000)
    service.run_now([job], actor="test", reason="")

    assert queued_ids(redis) == [str(job.pk)]
    assert redis.zcard(keys.SCHEDULED) == redis.zcard("rq:failed:normal") == 0
    assert redis.ttl(f"rq:job:{job.pk}") == -1


@pytest.mark.django_db
def test_a_dead_letter_whose_hash_has_expired_leaves_where_it_was(redis: Redis) -> None:
    """RQ's tools would list it as failed while it is queued, and after it has succeeded."""
    job = Job(type="X", state=State.QUEUED, attempt=3, due_at=timezone.now())
    redis.zadd("rq:failed:normal", {str(job.pk): 1})
    redis.zadd(keys.SCHEDULED, {str(job.pk): 1})
    enqueue.enqueue([job])

    assert queued_ids(redis) == [str(job.pk)]
    assert redis.zcard(keys.SCHEDULED) == redis.zcard("rq:failed:normal") == 0


@pytest.mark.django_db
def test_what_is_no_hash_makes_room_for_one(redis: Redis) -> None:
    job = Job(type="X", state=State.QUEUED, due_at=timezone.now())
    redis.set(f"rq:job:{job.pk}", "odd")

    assert enqueue.enqueue([job]) == 1

    assert redis.hget(f"rq:job:{job.pk}", "type") == b"X"
    assert queued_ids(redis) == [str(job.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_full_redis_takes_no_job_and_none_is_lost(redis: Redis) -> None:
    """It refuses the script as a whole. The job is enqueued when there is room; a key of another type makes way."""
    (known,) = submit(1)
    redis.delete(QUEUE)
    redis.config_set("maxmemory", 1)
    try:
        (job,) = submit(1, campaign_id="c-2")
        assert redis.exists(f"rq:job:{known.pk}")
        assert not redis.exists(f"rq:job:{job.pk}", QUEUE)
    finally:
        redis.config_set("maxmemory", 0)
    redis.rpush(f"rq:job:{job.pk}", "another type")
    enqueue.enqueue([job])

    assert queued_ids(redis) == [str(job.pk)]
    assert redis.hget(f"rq:job:{job.pk}", "status") == b"queued"
