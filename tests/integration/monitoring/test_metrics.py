"""The exposition: its content, its sources and its cost."""

import json
import re
import shutil
import subprocess
from datetime import timedelta

import pytest
import yaml
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from jobs import counters
from jobs.cron import firing
from jobs.models import CampaignClock, Job, OutcomeMinute, WorldStop
from jobs.service import Submission, submit, submit_many
from tests.support.documents import anchor_of
from tests.support.processes import Start
from tests.support.servers import ROOT, RedisServer, SandboxApi, wait_until
from tests.support.stops import submit_at

pytestmark = pytest.mark.django_db(transaction=True)
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"


def samples(client: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """What the page says, by name and label values."""
    page = client.get("/metrics/prometheus").content.decode()
    return {
        (s.name, tuple(s.labels.values())): s.value
        for family in text_string_to_metric_families(page)
        for s in family.samples
    }


def test_a_scrape_includes_all_processes(start: Start, sandbox: SandboxApi, client: Client) -> None:
    """A worker's requests, waits and run times are in the web process's exposition, once."""
    start("rqworker", API_REQUEST_TIMEOUT_MS="30000")  # a slow answer must not become a second attempt
    work = [Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}, subject=str(n)) for n in range(5)]
    submit_many(work, actor="test")
    wait_until(lambda: Job.objects.filter(state="SUCCEEDED").count() == 5, what="all done")
    kind = "EVENT_EXPIRATION"
    wait_until(
        lambda: samples(client).get(("scheduler_job_wait_seconds_count", (kind,))) == 5,
        what="the worker has told Redis",
    )

    page = samples(client)

    assert page["scheduler_job_run_seconds_count", (kind,)] == 5
    assert page["scheduler_job_attempts_bucket", (kind, "1")] == 5
    assert page["scheduler_jobs_total", (kind, "SUCCEEDED")] == 5
    # As the parser of prometheus_client names it; on the page it stands as in the seed.
    assert page["scheduler_queue_completed_total", ()] == 5
    assert page["scheduler_api_requests_total", ("getOverdueEvents", "ok")] == 5
    assert page["scheduler_api_request_seconds_count", ("getOverdueEvents",)] == 5


def test_totals_survive_redis_and_retention(client: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """Completed and failed are the ledger's records, old minutes and new, each counted once."""
    times = {"run_ms": 1, "run_ms_max": 1, "wait_ms": 1, "wait_ms_max": 1}
    for age, jobs in ((timedelta(days=90), 7), (timedelta(0), 2)):
        minute = timezone.now().replace(second=0, microsecond=0) - age
        for outcome in ("SUCCEEDED", "SKIPPED", "DEAD"):
            OutcomeMinute.objects.create(minute=minute, type="X", outcome=outcome, shard=0, jobs=jobs, **times)

    for _ in range(2):
        queue = client.get("/metrics").json()["queue"]
        redis.flushall()

        assert (queue["completed"], queue["failed"]) == (18, 9)


def test_what_is_handed_back_is_no_outcome(client: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """It has a series of its own; that a lost worker's job is queued again is an outcome."""
    times = {"run_ms": 0, "run_ms_max": 0, "wait_ms": 0, "wait_ms_max": 0}
    minute = timezone.now().replace(second=0, microsecond=0)
    OutcomeMinute.objects.create(minute=minute, type="X", outcome="NOT_BEGUN", shard=0, jobs=250, **times)
    page = samples(client)

    assert page["scheduler_jobs_handed_back_total", ("X",)] == 250
    assert ("scheduler_jobs_total", ("X", "NOT_BEGUN")) not in page
    assert page["scheduler_jobs_total", ("DEFERRED_EFFECT", "QUEUED")] == 0
    assert page["scheduler_jobs_handed_back_total", ("DEFERRED_EFFECT",)] == 0


def test_counts_made_without_redis_are_sent_later(redis: Redis, redis_server: RedisServer) -> None:
    """They are neither lost nor doubled."""
    counter = counters.Counters(lambda: redis)
    counter.add("x", "a")
    redis_server.stop()
    try:
        counter.flush()
    finally:
        redis_server.start()

    counter.flush()
    counter.flush()

    assert counters.read(redis)["x", "a"] == 1


def test_the_age_of_the_oldest_queued_job_and_the_lag_are_exposed(client: Client, sandbox: SandboxApi) -> None:
    """Jobs waiting for a worker and those the scheduler has not queued are told apart."""
    early = timezone.now() - timedelta(minutes=5)
    queued, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}, due_at=early), actor="test")
    later = timezone.now() + timedelta(hours=1)
    overdue, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}, due_at=later), actor="test")
    Job.objects.filter(pk=queued.pk).update(moved_at=early)
    Job.objects.filter(pk=overdue.pk).update(due_at=early)

    page = samples(client)

    assert 300 <= page["scheduler_oldest_queued_seconds", ()] < 400
    assert 300 <= page["scheduler_lag_seconds", ()] < 400
    assert 300 <= page["scheduler_queue_head_age_seconds", ("normal",)] < 400
    assert page["scheduler_queue_depth", ("normal",)] == 1


def test_the_age_of_the_oldest_stop_is_exposed(client: Client, sandbox: SandboxApi) -> None:
    """Of the worlds that stand at one; not of stops that their worlds have not reached."""
    CampaignClock.objects.create(campaign_id="c", world_time="1001-06-01T12:00:00.000Z")
    assert samples(client)["scheduler_world_stop_oldest_seconds", ()] == 0
    submit_at("1001-06-01T11:00:00.000Z", campaign_id="c")
    submit_at("1001-06-01T13:00:00.000Z", campaign_id="c")
    assert [bool(stop.opened_at) for stop in WorldStop.objects.order_by("at")] == [True, False]
    WorldStop.objects.exclude(opened_at=None).update(opened_at=timezone.now() - timedelta(hours=2))

    assert 7200 <= samples(client)["scheduler_world_stop_oldest_seconds", ()] < 7300


def test_rules_ask_for_metrics_that_exist(client: Client, sandbox: SandboxApi) -> None:
    """Every name in an alert's expression has its TYPE line, and each alert its section of the manual."""
    page = client.get("/metrics/prometheus").content.decode()
    families = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    sections = re.findall(r"^### (.+)$", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE)
    addresses = {f"docs/operating.md#{anchor_of(section)}": section for section in sections}
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]

    assert len(rules) >= 8
    for rule in rules:
        named = {w.removesuffix("_bucket") for w in _words(rule["expr"]) if w.startswith(("scheduler_", "process_"))}
        assert named <= families, rule["alert"]
        assert addresses[rule["annotations"]["runbook_url"]] == rule["annotations"]["runbook"], rule["alert"]


def test_the_dashboard_asks_for_metrics_that_exist(client: Client, sandbox: SandboxApi) -> None:
    """Every panel of the Grafana dashboard queries metrics of the exposition only."""
    page = client.get("/metrics/prometheus").content.decode()
    families = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    panels = json.loads((ROOT / "deploy" / "grafana" / "scheduler.json").read_text())["panels"]

    assert len(panels) >= 10
    for panel in panels:
        for target in panel["targets"]:
            words = {w.removesuffix("_bucket") for w in _words(target["expr"])}
            named = {w for w in words if w.startswith(("scheduler_", "process_"))}
            assert named, panel["title"]
            # Each web process that is scraped tells of the whole service: a sum must not count it twice.
            ratio = " / " in target["expr"] or "_bucket" in target["expr"]
            assert ratio or "sum" not in words or "max" in words, panel["title"]
            assert named <= families, panel["title"]


def test_counters_in_rules_start_at_zero(client: Client, sandbox: SandboxApi, redis: Redis) -> None:
    """`increase()` misses the first event of a series that starts at 1."""
    firing.seed()
    page = samples(client)
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]

    for rule in rules:
        for name, selector in re.findall(r"increase\((\w+)(?:\{(.*?)\})?\[", rule["expr"]):
            told = [
                (labels, n)
                for (family, labels), n in page.items()
                if family.removesuffix("_total") == name.removesuffix("_total")
            ]
            for wanted in re.findall(r'\w+=~?"(.*?)"', selector):
                told = [(labels, n) for labels, n in told if any(re.fullmatch(wanted, value) for value in labels)]
            assert told, rule["alert"]
            assert {n for _, n in told} == {0}, rule["alert"]
    assert page["scheduler_cron_firings_total", ("event-expiration", "missed")] == 0
    assert page["scheduler_alert_deliveries_total", ("slack", "failed")] == 0
    assert page["scheduler_jobs_total", ("DEFERRED_EFFECT", "DEAD")] == 0


def _words(expression: str) -> set[str]:
    return set("".join(c if c.isalnum() or c == "_" else " " for c in expression).split())


def test_promtool_passes_the_rules() -> None:
    """Each alert fires when it should and not before; skipped where promtool is not installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")

    ended = subprocess.run(
        [promtool, "test", "rules", "rules_test.yml"], cwd=RULES.parent, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_promtool_complains_only_about_inherited_names(client: Client, sandbox: SandboxApi) -> None:
    """The predecessor's names and one of django-rq's; skipped where promtool is not installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    page = client.get("/metrics/prometheus").content

    ended = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)

    assert {line.split()[0] for line in ended.stderr.decode().splitlines()} <= {
        "scheduler_queue_completed",
        "scheduler_queue_failed",
        "scheduler_dead_letter_count",
        "scheduler_uptime_seconds",
        "rq_request_processing_seconds_total",
    }


def test_every_rule_is_tested() -> None:
    """No alert without a case for promtool."""
    cases = (RULES.parent / "rules_test.yml").read_text()
    names = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]

    assert [name for name in names if f'\\"{name}\\"' not in cases] == []
