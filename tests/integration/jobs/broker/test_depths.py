"""Queue depths: one number on every page and metric."""

import re
from collections.abc import Sequence

import django_rq
import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from jobs import pauses
from jobs.broker import depths, keys
from jobs.broker.scripts import FAIR_SHARE
from jobs.models import Job
from jobs.states import Priority
from monitoring import health
from ops.admin import dashboard
from ops.reads import active_orders
from tests.support.servers import SandboxApi
from tests.support.working import submit, work

pytestmark = pytest.mark.django_db(transaction=True)
KIND = "RECALCULATE_SETTLEMENT_SCHEDULES"
SHARE = FAIR_SHARE

#: By case: the submissions (how many, of which campaign, type and priority), and the pauses.
Case = tuple[Sequence[tuple[int, str, str, str]], Sequence[tuple[str, str]]]
CASES: dict[str, Case] = {
    "nothing": ([], []),
    "one": ([(1, "a", KIND, "NORMAL")], []),
    "backlog": ([(SHARE * 3, "a", KIND, "NORMAL")], []),
    "campaigns": ([(2, f"c-{n}", KIND, "NORMAL") for n in range(60)], []),
    "campaign paused": ([(SHARE * 3, "a", KIND, "NORMAL"), (SHARE + 2, "b", KIND, "LOW")], [("campaign", "a")]),
    "type paused": ([(SHARE + 1, "a", KIND, "NORMAL"), (3, "a", "EVENT_EXPIRATION", "LOW")], [("type", KIND)]),
    "queue paused": ([(SHARE + 1, "a", KIND, "HIGH"), (3, "b", KIND, "NORMAL")], [("queue", "high")]),
    "all at once": (
        [
            (SHARE * 2, "a", KIND, "HIGH"),
            (SHARE + 5, "b", KIND, "LOW"),
            (1, "c", "EVENT_EXPIRATION", "CRITICAL"),
            *((3, f"c-{n}", KIND, "NORMAL") for n in range(40)),
        ],
        [("campaign", "a"), ("campaign", "c-1"), ("type", "EVENT_EXPIRATION"), ("queue", "low")],
    ),
}


def set_up(redis: Redis, case: Case) -> None:
    """Submit and pause."""
    submissions, paused = case
    for number, campaign, kind, priority in submissions:
        submit(number, campaign_id=campaign, type=kind, priority=priority)
    for kind, name in paused:
        pauses.pause(kind, name, actor="user:ann")


def gauges(client: Client) -> dict[str, dict[str, float]]:
    """Those of queues on /metrics/prometheus, by name and queue."""
    lines = client.get("/metrics/prometheus").content.decode().splitlines(keepends=True)
    page = "".join(line for line in lines if "scheduler_queue_" in line)
    return {
        family.name: {sample.labels.get("queue", ""): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(page)
    }


@pytest.mark.parametrize("name", CASES)
def test_every_page_shows_the_same_depth(redis: Redis, sandbox: SandboxApi, admin_client: Client, name: str) -> None:
    """Whatever is paused, before and after workers have parked jobs."""
    set_up(redis, CASES[name])
    compare_pages(redis, admin_client)

    work(redis)
    held, queued = compare_pages(redis, admin_client)
    if CASES[name][1]:  # workers leave nothing behind but what a pause holds back
        assert held == queued
    for pause in pauses.active():
        assert active_orders.count_blocked(pause) > 0


def compare_pages(redis: Redis, admin_client: Client) -> tuple[dict[str, int], dict[str, int]]:
    """Every page and metric has the same numbers; returns those held back and those queued."""
    queued = {p.queue: Job.objects.filter(state="QUEUED", priority=p.value).count() for p in Priority}
    held = {queue: depth.held_back for queue, depth in depths.read(redis).items()}

    assert {queue: depth.waiting for queue, depth in depths.read(redis).items()} == queued
    assert {q.priority.queue: (q.depth, q.held_back) for q in dashboard.read_queues()} == {
        queue: (queued[queue], held[queue]) for queue in queued
    }
    for queue, number in queued.items():
        rq_queue = django_rq.get_queue(queue)
        assert rq_queue.count == len(set(rq_queue.get_job_ids())) == number
    scraped = gauges(admin_client)
    assert scraped["scheduler_queue_depth"] == queued
    assert scraped["scheduler_queue_held_back"] == held
    assert scraped["scheduler_queue_waiting"] == {"": sum(queued.values())}
    assert admin_client.get("/metrics").json()["queue"]["waiting"] == sum(queued.values())
    health.HEALTH.forget()
    said = admin_client.get("/health").json()["components"]["rqQueue"]["message"]
    assert f"Waiting: {sum(queued.values())}," in said
    assert (f"Held back by pauses: {sum(held.values())}" in said) == any(held.values())
    page = admin_client.get("/admin/queues/").content.decode()
    rows = re.findall(
        r'<b>(\w+)</b>.*?data-label="Queued".*?>(\d+)</a>.*?data-label="Held back"[^>]*>(\d+)<', page, re.DOTALL
    )
    assert {queue: (int(n), int(h)) for queue, n, h in rows if queue in queued} == {
        queue: (queued[queue], held[queue]) for queue in queued
    }
    return held, queued


def test_an_ended_pause_blocks_nothing(redis: Redis, sandbox: SandboxApi) -> None:
    """Its parked jobs wait, but no longer count as paused, even before a worker fetches."""
    submit(3, campaign_id="a")
    pauses.pause("campaign", "a", actor="user:ann")
    work(redis)
    assert depths.read(redis)["normal"][:2] == (3, 3)
    redis.hset(keys.PAUSED, "campaign:a", "1.5")

    assert depths.read(redis)["normal"][:2] == (3, 0)


@pytest.mark.parametrize("values", [{b"a": b"x"}, {b"\xff": b"3"}, {b"a": b"-5"}, {b"a": b"nan"}])
def test_odd_values_count_as_zero(redis: Redis, values: dict[bytes, bytes]) -> None:
    """They neither count as jobs nor fail a page."""
    redis.hset(keys.BACKLOGGED.format("normal"), mapping=values)  # type: ignore[arg-type]
    redis.sadd(keys.PARKED, b"normal:\xff", "normal", "x")
    redis.hset(keys.PAUSED, mapping={b"\xff": b"x", b"campaign:a": b"nan"})
    redis.rpush("rq:queue:normal", b"\xff")

    found = depths.read(redis)["normal"]

    assert found.waiting >= 1
    assert found.held_back == 0
    assert found.head is None
