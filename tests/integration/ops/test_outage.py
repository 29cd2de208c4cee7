"""What pages show while processes are gone, jobs are overdue and nothing is measured."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs.models import CronTask, Job, OutcomeMinute
from jobs.service import Submission, submit
from jobs.states import State
from monitoring import dashboard_source, health
from monitoring.models import Alert, Kind, Severity
from tests.support.heartbeats import lose
from tests.support.ledger import make_rows
from tests.support.people import member
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
"""Each test begins without any process."""


def test_the_dashboard_begins_with_the_outage(client: Client, sandbox: SandboxApi, redis: Redis) -> None:
    """Its level, since when, each reason with the page that shows more, and the open alerts."""
    lost = timezone.now() - timedelta(minutes=34)
    lose(redis, "worker", lost)
    Alert.objects.create(kind=Kind.NO_WORKER, key="no_worker", severity=Severity.CRITICAL, title="No worker is running")

    page = member(client, "Viewer").get("/admin/")
    text = page.content.decode()

    verdict = page.context["verdict"]
    assert verdict.level == "down"
    assert abs(verdict.since - lost) < timedelta(seconds=1)
    assert re.search(r"34 min( \d+ s)? ago", text)
    assert text.index("Down") < text.index("No worker is running") < text.index("ops-tiles")
    assert [reason.text.partition(":")[0] for reason in verdict.reasons[:2]] == ["workers", "scheduler"]


def test_every_other_page_says_it_in_one_line(client: Client, sandbox: SandboxApi, redis: Redis) -> None:
    text = member(client, "Viewer").get("/admin/jobs/job/").content.decode()

    assert "The service is down" in text


def test_what_the_scheduler_has_not_done_is_red_everywhere(
    admin_client: Client, sandbox: SandboxApi, redis: Redis
) -> None:
    due = timezone.now() - timedelta(minutes=34)
    job, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}, due_at=due), actor="test")
    Job.objects.update(state=State.SCHEDULED)  # as it stands until a scheduler queues it
    CronTask.objects.filter(name="event-expiration").update(next_fire_at=due)

    page = admin_client.get("/admin/")
    red = '<span class="ops-relative tone-bad">overdue by 34 min'

    texts = [reason.text for reason in page.context["verdict"].reasons]
    assert "a scheduled job is overdue by 34 min" in texts
    assert "cron task event-expiration is overdue by 34 min" in texts
    for where in ("/admin/", "/admin/jobs/job/", f"/admin/jobs/job/{job.pk}/change/", "/admin/jobs/crontask/"):
        assert red in admin_client.get(where).content.decode(), where


def test_a_job_that_has_ended_is_not_overdue(admin_client: Client, sandbox: SandboxApi, redis: Redis) -> None:
    make_rows(State.SUCCEEDED, 1)
    Job.objects.update(due_at=timezone.now() - timedelta(minutes=34))

    page = admin_client.get("/admin/jobs/job/").content.decode()
    assert "overdue" not in page.partition("<main")[2].partition("</main>")[0]


@pytest.mark.parametrize(("minutes", "old"), [(1, False), (34, True), (90, True)])
def test_tiles_that_measure_nothing_lately_are_grey(
    admin_client: Client, sandbox: SandboxApi, redis: Redis, minutes: int, old: bool
) -> None:
    """What is older than the range is not shown at all."""
    at = (timezone.now() - timedelta(minutes=minutes)).replace(second=0, microsecond=0)
    sums = {"run_ms": 74, "run_ms_max": 74, "wait_ms": 1, "wait_ms_max": 1, "waited_10": 1}
    OutcomeMinute.objects.create(minute=at, type="X", outcome=State.SUCCEEDED, shard=0, jobs=1, **sums)

    measured = [tile for tile in admin_client.get("/admin/").context["tiles"] if tile.get("measures")]

    assert len(measured) == 5
    assert {bool(tile.get("is_old")) for tile in measured} == {old}
    assert {tile["tone"] == "muted" for tile in measured} == {old}


def test_queued_jobs_that_redis_does_not_carry_are_named(
    admin_client: Client, sandbox: SandboxApi, redis: Redis
) -> None:
    make_rows(State.QUEUED, 300)

    text = admin_client.get("/admin/").content.decode()

    assert "300 queued jobs are not in Redis" in text
    assert "none in Redis" in text


class Switch(health.Check):
    """Up or down."""

    def __init__(self, status: list[str]) -> None:
        self.status = status

    def check_component(self) -> None:
        """As `status` says."""
        if self.status[0] == health.DOWN:
            raise OSError("gone")


def test_a_page_after_a_long_time_shows_no_fault_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page in the morning said that the service was down, as it was at night."""
    monkeypatch.setattr(dashboard_source, "WAIT_FOR_CHECKS_S", 60)
    status, now = [health.DOWN], [0.0]
    source = dashboard_source.DashboardSource(health.Round({"api": Switch(status)}, clock=lambda: now[0]))

    def shown() -> str:
        return {component.name: component.status for component in source.components()}["main API"]

    assert shown() == "down"
    status[0], now[0] = health.UP, 3600.0
    assert shown() == "up"


def test_a_component_is_down_since_this_process_saw_it(redis: Redis) -> None:
    """Not before: what was down at the first look has no beginning."""
    status, now = [health.UP], [0.0]
    round_ = health.Round({"one": Switch(status)}, clock=lambda: now[0])
    assert round_.components()["one"].since is None
    status[0], now[0] = health.DOWN, 10.0
    first = round_.components()["one"].since
    now[0] = 20.0

    assert first is not None
    assert round_.components()["one"].since == first
