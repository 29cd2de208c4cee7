"""The page of one job: attempts, blockers and changes."""

import json
import re
import time
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import control, service
from jobs.engine.worker import attempt
from jobs.errors import NotBegun, TransientError
from jobs.ledger import moves
from jobs.main_api.calls import MOST_NOTED, ApiCall, Calls, note
from jobs.main_api.client import MainApi
from jobs.models import AuditEntry, CampaignClock, Job
from jobs.service import Submission
from jobs.states import Priority, State
from ops.reads import job as job_page
from tests.support.people import JOBS, some
from tests.support.queries import count_queries
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


def growth(settlement: str, event: str = "POPULATION_GROWTH") -> Job:
    """A queued growth of one settlement of the sandbox."""
    payload = {"settlementId": settlement, "growthType": event}
    submission = Submission(type="SETTLEMENT_GROWTH", campaign_id="campaign-1", payload=payload, request_id="req-9")
    return service.submit(submission, actor="listener")[0]


def work(*jobs: Job) -> list[Job]:
    """Run one attempt of them in this thread, as a worker would; the jobs as they are then."""
    claimed = attempt.claim([str(job.pk) for job in jobs], worker="w-1", now=timezone.now())
    attempt.record(attempt.run_handler(claimed), actor="worker:w-1", worker="w-1")
    return [Job.objects.get(pk=job.pk) for job in jobs]


def page(client: Client, job: Job) -> Any:
    """What the page of the job shows, as data and as text."""
    answer = client.get(f"{JOBS}{job.pk}/change/")
    assert answer.status_code == 200
    return answer.context["job_page"], answer.content.decode()


def test_a_job_links_to_its_campaign(admin_client: Client, redis: Redis) -> None:
    """Also if the ID needs quoting in a URL."""
    CampaignClock.objects.create(campaign_id="c_22/<ö>", name="Northmarch")
    job, _ = service.submit(Submission(type="EVENT_EXPIRATION", campaign_id="c_22/<ö>", payload={}), actor="test")
    (link,) = re.findall(r'<a href="([^"]*)">Northmarch</a>', page(admin_client, job)[1])

    assert admin_client.get(unescape(link)).context["clock"].campaign_id == "c_22/<ö>"


def test_the_page_lists_calls_and_changes(admin_client: Client, api: MainApi) -> None:
    """Operation, time, result and request ID; before and after of each field."""
    jobs = work(growth("settlement-1-1-1"), growth("settlement-1-1-1", "LEVEL_UP_CHECK"))
    shown, text = page(admin_client, jobs[0])

    (one,) = shown["attempts"]
    assert [call.operation for call in one.calls][:1] == ["settlement"]
    assert all(call.succeeded and call.ms > 0 for call in one.calls)
    assert (one.request_id, one.worker, one.state) == ("req-9", "w-1", "SUCCEEDED")
    assert [call.operation for call in page(admin_client, jobs[1])[0]["attempts"][0].calls] == [
        call.operation for call in one.calls
    ]
    ((field, before, after),) = shown["changes"]
    assert field == "population"
    assert after > before
    assert "Grow population of" in shown["sentence"]
    assert "updateSettlement" in text


def test_every_failed_attempt_keeps_its_own_traceback(admin_client: Client, sandbox: SandboxApi, api: MainApi) -> None:
    """The second failure does not overwrite the first."""
    job = growth("settlement-1-1-1")
    sandbox.control("POST", "faults", {"errorRate": 1.0})
    for _ in range(2):
        (job,) = work(job)
        service.run_now([job], actor="test", reason="")
    shown, text = page(admin_client, Job.objects.get(pk=job.pk))

    assert [a.number for a in shown["attempts"]] == [2, 1]
    assert all("Traceback" in a.traceback and a.error for a in shown["attempts"])
    assert [call.result for a in shown["attempts"] for call in a.calls] == ["fault", "fault"]
    assert text.count("<summary>Traceback</summary>") == 2


def test_an_attempt_without_calls_stores_no_details(redis: Redis) -> None:
    """Success without calls costs no byte."""
    with Calls() as asked:
        pass
    (job,) = some(1)
    ended = attempt.ending_of(job, None, 1.0, now=timezone.now())

    assert asked.count == 0
    assert ended.details is None
    assert not AuditEntry.objects.exclude(details=None).exists()


def test_only_the_first_calls_are_recorded() -> None:
    """Forty, and the number of the rest; outside an attempt none."""
    call = ApiCall("expireEvent", 0.0, 0.001, "ok", "r")
    with Calls() as asked:
        for _ in range(MOST_NOTED + 5):
            note(call)
    note(call)

    assert (len(asked.noted), asked.count) == (MOST_NOTED, MOST_NOTED + 5)


def test_a_queued_job_lists_its_blockers(admin_client: Client, redis: Redis, api: MainApi) -> None:
    """No worker runs; the breaker is open; others are ahead of it."""
    some_are_first = service.submit_many(
        [Submission(type="EVENT_EXPIRATION", campaign_id=f"c-{n}", payload={}) for n in range(3)], actor="test"
    )
    service.submit(
        Submission(type="EVENT_EXPIRATION", campaign_id="c-9", payload={}, priority=Priority.HIGH), actor="test"
    )
    job, _ = service.submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}), actor="test")
    for _ in range(10):
        api.breaker.record_fault(TransientError("HTTP 500"), probe=False)
    shown, text = page(admin_client, job)
    api.breaker.close()

    told = " ".join(shown["blockers"])
    assert len(some_are_first) == 3
    assert "No worker is running" in told
    assert "circuit breaker to the main API is open" in told
    assert "3 jobs of the queue normal came before it" in told
    assert "1 more urgent job goes first." in told
    assert "pan_tool" in text


def test_related_jobs_are_found_near_the_job_only(admin_client: Client, redis: Redis) -> None:
    """Its child jobs and those about the same entity; none of another campaign."""
    first, second = growth("s-1"), growth("s-1", "LEVEL_UP_CHECK")
    growth("s-2")
    due = timezone.now() + timedelta(hours=1)
    asked, _ = service.submit(
        Submission(type="EVENT_EXPIRATION", campaign_id="campaign-1", payload={}, due_at=due), actor=f"job:{first.pk}"
    )
    shown, _ = page(admin_client, first)

    assert [job.pk for job in shown["related"]] == [second.pk]
    assert [job.pk for job in shown["children"]] == [asked.pk]


def test_nested_changes_are_shown_by_their_path() -> None:
    """Only what differs."""
    result = {"before": {"resources": {"gold": 1, "iron": 2}}, "after": {"resources": {"gold": 3, "iron": 2}, "new": 1}}

    assert job_page.find_changes(result) == [("new", None, 1), ("resources.gold", 1, 3)]
    assert job_page.find_changes(None) == job_page.find_changes({"before": 1}) == []


def test_jobs_of_unknown_types_have_a_page(admin_client: Client, redis: Redis) -> None:
    """So do jobs with a payload of another schema."""
    job = growth("s-1")
    Job.objects.filter(pk=job.pk).update(payload={"old": 1}, state=State.DEAD)
    strange = some(1)[0]
    Job.objects.filter(pk=strange.pk).update(type="GONE", result=[1])

    assert page(admin_client, job)[0]["sentence"].startswith("Settlement growth")
    assert page(admin_client, strange)[0]["sentence"].startswith("Gone")


def test_a_full_job_page_takes_few_queries(admin_client: Client, redis: Redis) -> None:
    """A queued copy from a cron task, with entity, campaign, relatives and a copy: fewer than 19."""
    original = growth("s-1")
    first, second = growth("s-1", "LEVEL_UP_CHECK"), growth("s-1", "RESOURCE_GENERATION")
    Job.objects.filter(pk=first.pk).update(copy_of=original.pk, source="cron:event-expiration")
    Job.objects.filter(pk=second.pk).update(copy_of=first.pk)
    with count_queries() as queries:
        shown, _ = page(admin_client, first)

    assert shown["cron_task"] is not None
    assert (shown["original"].pk, [job.pk for job in shown["copies"]]) == (original.pk, [second.pk])
    assert len(queries) < 19, "\n".join(q["sql"][:110] + " ... " + q["sql"][-90:] for q in queries)


def test_expired_events_are_listed(admin_client: Client, sandbox: SandboxApi, api: MainApi) -> None:
    """Each with its state before and after."""
    event = {
        "id": "event-late",
        "campaignId": "campaign-1",
        "name": "A late feast",
        "eventType": "story",
        "scheduledAt": "0999-01-01T00:00:00.000Z",
        "occurredAt": None,
        "isCompleted": False,
    }
    sandbox.control("POST", "events", event)
    job, _ = service.submit(Submission(type="EVENT_EXPIRATION", campaign_id="campaign-1", payload={}), actor="test")
    (job,) = work(job)
    shown, _ = page(admin_client, job)

    assert job.state == "SUCCEEDED"
    assert len(shown["changes"]) >= 1
    assert {(before, after) for _, before, after in shown["changes"]} == {("overdue", "expired")}


def test_a_result_without_changes_is_folded(admin_client: Client, redis: Redis) -> None:
    job = growth("s-1")
    Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED, result={"unchanged": 3, "campaigns": 3})
    _, text = page(admin_client, job)
    Job.objects.filter(pk=job.pk).update(result={"before": {"level": 1}, "after": {"level": 2}})
    _, changed = page(admin_client, job)

    assert "<h3>Result</h3>" in text
    assert "<h3>Changes</h3>" not in text
    assert "<details open" not in text.partition("<h3>Result</h3>")[2].partition("</section>")[0]
    assert "<h3>Changes</h3>" in changed


def test_a_wait_is_no_attempt(admin_client: Client, redis: Redis, api: MainApi) -> None:
    """Three claims while the breaker is open, and a fourth that runs: one attempt, and one wait in the timeline."""
    job = growth("settlement-1-1-1")
    control.set_breaker("open", actor="test")
    for _ in range(3):
        (waiting,) = work(*due_now(job))
    shown, text = page(admin_client, waiting)
    control.set_breaker("automatic", actor="test")
    (running,) = due_now(job)
    attempt.claim([str(running.pk)], worker="w-1", now=timezone.now())
    under_way, _ = page(admin_client, running)
    attempt.record(
        [attempt.ending_of(Job.objects.get(pk=job.pk), None, 1.0, now=timezone.now())], actor="worker:w-1", worker="w-1"
    )
    done, _ = page(admin_client, job)

    assert shown["attempts"] == []
    assert "Waits: circuit breaker open. It has waited for" in shown["why"]
    assert "<dt>Attempts</dt><dd>0 (0 failed)</dd>" in text
    assert "<dt>Had to wait</dt><dd>3 times, since:" in text
    assert "CircuitOpen" not in text
    assert shown["started"] is None
    assert "<dt>Started</dt>" not in text
    assert under_way["started"] == done["started"] == Job.objects.get(pk=job.pk).started_at
    assert [one.entry.now for one in under_way["steps"]][:3] == ["RUNNING", "QUEUED", "RETRYING"]
    assert [one.number for one in under_way["attempts"]] == [1]
    assert [one.number for one in done["attempts"]] == [1]
    assert [one.attempt for one in done["steps"]] == [1, 1, None, None, None, None]


def test_what_is_handed_back_is_no_attempt(admin_client: Client, redis: Redis, api: MainApi) -> None:
    """The page counts it apart, and the timeline numbers no attempt for it."""
    job = growth("settlement-1-1-1")
    (claimed,) = attempt.claim([str(job.pk)], worker="w-1", now=timezone.now())
    attempt.record([attempt.ending_of(claimed, NotBegun("handed back"), 0.0, now=timezone.now())], actor="worker:w-1")
    queued, text = page(admin_client, job)
    work(job)
    done, _ = page(admin_client, job)

    assert queued["attempts"] == []
    assert "<dt>Attempts</dt><dd>0 (0 failed)</dd>" in text
    assert "<dt>Handed back</dt><dd>once</dd>" in text
    assert "Had to wait" not in text
    assert [one.number for one in done["attempts"]] == [1]
    assert [one.attempt for one in done["steps"]] == [1, 1, None, None, None]


def test_a_wait_after_a_failure_leaves_the_start_of_the_attempt(
    admin_client: Client, redis: Redis, api: MainApi, sandbox: SandboxApi
) -> None:
    job = growth("settlement-1-1-1")
    sandbox.control("POST", "faults", {"errorRate": 1})
    (failed,) = work(job)
    control.set_breaker("open", actor="test")
    (waiting,) = work(*due_now(job))
    shown, _ = page(admin_client, waiting)

    assert (waiting.attempts, waiting.waits) == (1, 1)
    assert shown["started"] == failed.started_at


def test_a_waiting_job_in_lists_says_for_what_and_has_no_error(
    admin_client: Client, redis: Redis, api: MainApi, sandbox: SandboxApi
) -> None:
    waiting, failed = growth("settlement-1-1-1"), growth("settlement-1-1-1", "LEVEL_UP_CHECK")
    sandbox.control("POST", "faults", {"errorRate": 1})
    work(failed)
    control.set_breaker("open", actor="test")
    work(waiting)
    control.set_breaker("automatic", actor="test")
    listed = admin_client.get(f"{JOBS}?state=RETRYING").content.decode()
    trail = admin_client.get("/admin/jobs/auditentry/?kind=all").content.decode()

    errors = re.findall(r"field-error_line[^>]*>([^<]*)<", listed)
    assert listed.count("waits for the circuit breaker") == 1
    assert sorted(map(str.strip, errors)) == ["", "TransientError: main API: HTTP 500"]
    assert "CircuitOpen" not in listed + trail


def test_the_next_attempt_is_not_before_the_breaker_lets_it_through(
    admin_client: Client, redis: Redis, api: MainApi, sandbox: SandboxApi
) -> None:
    job = growth("settlement-1-1-1")
    sandbox.control("POST", "faults", {"errorRate": 1})
    work(job)
    Job.objects.filter(pk=job.pk).update(due_at=timezone.now() + timedelta(seconds=3))
    state = {"until": time.time() + 1000, "openedAt": time.time(), "error": "HTTP 500"}
    redis.set("scheduler:breaker:state", json.dumps(state))
    soon, _ = page(admin_client, job)
    Job.objects.filter(pk=job.pk).update(due_at=timezone.now() + timedelta(hours=2))
    later, _ = page(admin_client, job)

    assert "Next attempt in 16 min" in soon["why"]
    assert re.search(r"Next attempt in (2 h|1 h 59)", later["why"])


def due_now(job: Job) -> list[Job]:
    """The job, queued."""
    Job.objects.filter(pk=job.pk, state=State.RETRYING).update(due_at=timezone.now())
    moves.queue_due([str(job.pk)], actor="scheduler", reason="due", now=timezone.now())
    return [Job.objects.get(pk=job.pk)]
