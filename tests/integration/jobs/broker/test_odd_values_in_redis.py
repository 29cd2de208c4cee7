"""Odd values under any key in Redis break nothing else."""

import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import Phase, given
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ResponseError

from jobs import overrides, type_settings
from jobs.broker import enqueue, keys, mend
from jobs.broker.scripts import FAIR_SHARE
from jobs.engine.scheduler.reconciler import Reconciler
from jobs.engine.scheduler.scheduler import Scheduler
from jobs.models import Job
from jobs.overrides import Overrides
from tests.support.examples import examples
from tests.support.ledger import state_of
from tests.support.rq_pages import QUEUES, pages
from tests.support.servers import SandboxApi
from tests.support.working import submit, work

pytestmark = pytest.mark.django_db(transaction=True)
ASIDE = "normal|EVENT_EXPIRATION"
NORMAL = 4  #: the dashboard numbers queues by name
PAGES = (
    "/admin/",
    "/admin/jobs/job/",
    "/admin/jobs/pause/",
    "/admin/jobs/pause/processes/",
    "/admin/jobs/pause/breaker/",
    "/metrics",
    "/metrics/prometheus",
)


#: Each key that anybody reads, as a template of the queue.
KEYS = sorted(
    {key.format(queue) for queue in QUEUES for key in mend.OF_QUEUE}
    | set(mend.TYPES)
    | {"rq:job:odd", "rq:results:odd", "rq:worker:odd", "rq:cron_scheduler:odd", "rq:execution:odd:1"}
    | {"scheduler:parked:normal:campaign:c", "scheduler:backlog:normal:c", "scheduler:cache:campaigns"}
    | {key.format(ASIDE) for key in (*mend.OF_LIST_ASIDE, "scheduler:backlog:{}:c")}
)
VALUES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b"1e999",
            b"-1",
            b"nan",
            b"\xff\xfe",
            b"\x80\x05.",
            b"[" * 5000,
            b"9" * 400,
            b"a" * 30_000,
            ASIDE.encode(),
            b'{"until": 1e300, "openedAt": "x"}',
            b'{"state": "ajar", "at": 1}',
            b'{"at": 1, "error": 5}',
            b"odd",
            b"odd:1",
            b'{"role":"worker","name":"x","host":"h","pid":1,"version":"1","state":"idle","since":1e300,"at":1e300}',
            b'{"role":"king","name":"x","host":"h","pid":1,"version":"1","state":"idle","since":1,"at":1}',
        ]
    ),
)
FIELDS = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.sampled_from(
        [
            b"data",
            b"origin",
            b"status",
            b"created_at",
            b"enqueued_at",
            b"timeout",
            b"meta",
            b"result",
            b"dependency_ids",
            b"type",
            b"campaign",
            b"description",
            b"queues",
            b"last_heartbeat",
            b"birth",
            b"pid",
            b"worker:x",
            b"known",
            b"campaign:c",
            b"job_runs",
            b"cron_firings\tx",
            b"job_run_seconds\tx",
            b"webhooks",
            b"retry_intervals",
        ]
    ),
)
PLANTS = st.lists(
    st.tuples(
        st.sampled_from(KEYS), st.sampled_from(["string", "list", "set", "hash", "zset", "stream"]), FIELDS, VALUES
    ),
    min_size=1,
    max_size=12,
)


def put(redis: Redis, key: str, kind: str, field: bytes, value: bytes) -> None:
    """Write one odd value, over whatever stands there."""
    redis.delete(key)
    match kind:
        case "string":
            redis.set(key, value)
        case "list":
            redis.rpush(key, value)
        case "set":
            redis.sadd(key, value)
        case "hash":
            redis.hset(key, field, value)
        case "zset":
            redis.zadd(key, {value: 1e300})
        case "stream":
            redis.xadd(key, {field: value})


@pytest.mark.parametrize(
    ("key", "kind", "field", "value"),
    [
        ("scheduler:parked", "set", b"", b""),
        ("scheduler:parked", "set", b"", b"\xff:campaign:c"),
        ("scheduler:parked", "set", b"", b"normal:campaign"),
        ("scheduler:share:normal", "hash", b"c", b"x"),
        ("scheduler:backlogged:normal", "hash", b"c", b"\xff"),
        ("scheduler:paused", "hash", b"campaign:c", b"x"),
        ("scheduler:paused:version", "string", b"", b"x"),
        ("scheduler:taken", "list", b"", b"x"),
        ("rq:queue:critical", "string", b"", b"x"),
        ("rq:queue:critical", "list", b"", b"\xff"),
        ("rq:job:odd", "string", b"", b"x"),
    ],
)
def test_a_worker_survives_odd_values_in_its_scripts(
    redis: Redis, sandbox: SandboxApi, key: str, kind: str, field: bytes, value: bytes
) -> None:
    """Without a scheduler that would repair them first."""
    put(redis, key, kind, field, value)
    redis.rpush("rq:queue:high", "odd")
    (job,) = submit(1)

    work(redis)
    enqueue.enqueue([job])
    work(redis)

    assert state_of(job) == "SUCCEEDED"


@pytest.fixture
def limited(redis: Redis, sandbox: SandboxApi) -> Iterator[list[Job]]:
    """More jobs than a campaign's share, which wait because another worker has the one place of their type."""
    redis.zadd(keys.RUNNING.format("EVENT_EXPIRATION"), {"of-another-worker": 2**33})
    type_settings.set_overrides("EVENT_EXPIRATION", Overrides(concurrency=1), actor="user:ann", reason="a test")
    jobs = submit(FAIR_SHARE + 3)
    work(redis)
    assert redis.smembers(keys.ASIDE) == {ASIDE.encode()}
    yield jobs
    overrides.use({})


@pytest.mark.parametrize(
    ("key", "kind", "value"),
    [
        (f"rq:queue:{ASIDE}", "hash", b"x"),
        (f"scheduler:share:{ASIDE}", "list", b"x"),
        (f"scheduler:share:{ASIDE}", "hash", b"x"),
        (f"scheduler:backlogged:{ASIDE}", "set", b"x"),
        (f"scheduler:backlogged:{ASIDE}", "hash", b"\xff"),
        (f"scheduler:backlog:{ASIDE}:campaign-2", "zset", b"x"),
        ("scheduler:aside", "string", b"x"),
        ("scheduler:aside", "set", b"\xff|EVENT_EXPIRATION"),
        ("scheduler:aside", "set", b"nowhere"),
        ("scheduler:running:EVENT_EXPIRATION", "list", b"x"),
    ],
)
def test_jobs_behind_a_limit_survive_odd_values(
    redis: Redis, sandbox: SandboxApi, limited: list[Job], key: str, kind: str, value: bytes
) -> None:
    """What waits for its type's limit is mended as a queue is."""
    put(redis, key, kind, b"campaign-2", value)
    work(redis)
    mend.mend(redis, thorough=True)
    assert mend.mend(redis, thorough=True) == []
    redis.delete(keys.RUNNING.format("EVENT_EXPIRATION"))
    enqueue.enqueue(limited)  # as the sweep does within seconds where Redis has lost it
    work(redis)

    assert {state_of(job) for job in limited} == {"SUCCEEDED"}
    assert not redis.smembers(keys.ASIDE)


def go_round(scheduler: Scheduler, redis: Redis) -> None:
    """A scheduler's round without its sleep; a key that has to be mended first costs one more."""
    for step in (scheduler.lead, lambda: scheduler.queue_due(timezone.now()), lambda: Reconciler(redis).poll()):
        while True:
            try:
                step()
                break
            except ResponseError as error:
                if not mend.mends(error, redis):
                    raise


@hypothesis.settings(examples(8), phases=[Phase.explicit, Phase.generate])
@given(plants=PLANTS)
def test_odd_values_break_nothing_else(viewer: Client, redis: Redis, sandbox: SandboxApi, plants: list[Any]) -> None:
    """Under any key of ours or RQ's: scheduler, worker, pages and metrics go on."""
    redis.flushall()
    (job,) = submit(1)
    for planted in plants:
        put(redis, *planted)
    scheduler = Scheduler(connection=redis)

    go_round(scheduler, redis)
    enqueue.enqueue([job])  # as the sweep does within seconds where Redis has lost it
    work(redis)
    scheduler.close()
    shown = [page for page in pages(redis, "odd") if f"/{NORMAL}/" in page or not re.search(r"/\d+/", page)]
    answers = {page: viewer.get(page).status_code for page in (*shown, *PAGES)}

    assert state_of(job) == "SUCCEEDED"
    assert {page: code for page, code in answers.items() if code not in (200, 404)} == {}
