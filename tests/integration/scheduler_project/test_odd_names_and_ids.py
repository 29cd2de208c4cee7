"""Odd names, IDs and messages, and secrets in errors: they harm nothing else, and each ID works everywhere."""

import json
from datetime import timedelta
from urllib.parse import quote as percent

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from jobs import counters, pauses
from jobs.broker import keys
from jobs.engine.worker import attempt
from jobs.listener import Listener
from jobs.main_api.client import MainApi
from jobs.models import AuditEntry, CampaignClock, FailureGroup, Job, OperatorAction, Pause, ScheduleRow
from jobs.service import Submission, submit
from jobs.states import State
from scheduler_project import logs
from tests.support.claiming import claiming_worker, take, work
from tests.support.environment import DIALECT
from tests.support.examples import examples
from tests.support.servers import SandboxApi
from tests.support.texts import ANY
from tests.support.working import submit as submit_jobs
from tests.support.working import submit_one

pytestmark = pytest.mark.django_db(transaction=True)
MANY = examples(20)
#: IDs that the contract allows: odd in a URL and a key, or in SQL too.
IDS = {
    "url": ["a/b?c#d%e", "c:1:type:x", " blank ", "a\nb", "_2F_", "add", "1/change"],
    "sql": ["x" * 255, "🏰" * 255, "{0}%s\\'\"<b>", "жар-9 *?[]^$"],
}


# -- messages and answers


@MANY
@given(text=ANY, data=st.binary(max_size=40))
def test_odd_messages_do_not_stop_the_listener(api: MainApi, redis: Redis, text: str, data: bytes) -> None:
    """Odd channels, kinds, IDs and times."""
    listener = Listener(keys.redis(), api)
    channel = text.encode("utf-8", "surrogatepass")
    body = {"entityType": "Settlement", "entityId": text, "operation": text, "newTime": text, text: text}
    for kind in (b"worldTimeAdvanced", b"entityModified"):
        for sent in (json.dumps(body).encode(), json.dumps({**body, "entityType": "Event"}).encode(), data):
            listener.receive({"channel": b"campaign." + channel + b"." + kind, "data": sent})
            listener.receive({"channel": b"campaign." + data + b"." + kind, "data": sent})
    listener.handle_all()


def test_odd_names_and_ids_in_answers_harm_no_other(redis: Redis, api: MainApi, sandbox: SandboxApi) -> None:
    """Half a surrogate pair in every name, and campaigns and settlements with IDs that cannot be stored."""
    for i, name in enumerate(["half \ud83c", "nul \0", "long " * 1000]):
        campaign = {"id": f"odd-{i}", "name": name, "isActive": True, "currentWorldTime": "1200-01-01T00:00:00.000Z"}
        sandbox.control("POST", "campaigns", campaign)
        sandbox.control("POST", "kingdoms", {"id": f"k-{i}", "campaignId": f"odd-{i}", "name": name})
        for settlement in (f"s-{i}", "s" * 256, f"half-{i}-\ud83c"):
            sandbox.control(
                "POST",
                "settlements",
                {
                    "id": settlement,
                    "kingdomId": f"k-{i}",
                    "name": name,
                    "level": 1,
                    "variables": {"note": name},
                    "version": 1,
                    "archivedAt": None,
                },
            )
        sandbox.control(
            "POST",
            "events",
            {"id": f"event-{i}", "campaignId": f"odd-{i}", "scheduledAt": "1100-01-01T00:00:00.000Z", "name": name},
        )
        sandbox.control("POST", "effects", {"id": f"effect-{i}", "entityId": f"event-{i}", "name": name})
    for bad in ("x" * 256, "half \ud83c", "nul\0"):
        sandbox.control("POST", "campaigns", {"id": bad, "name": "n", "isActive": True, "currentWorldTime": None})
    effects = [
        Submission(
            type="DEFERRED_EFFECT",
            campaign_id=f"odd-{i}",
            payload={"effectId": f"effect-{i}", "executeAt": timezone.now().isoformat()},
        )
        for i in range(3)
    ]
    jobs = [submit(s, actor="test")[0] for s in effects]
    jobs += [
        submit(Submission(type=t, campaign_id="", payload={}), actor="test")[0]
        for t in ("EVENT_EXPIRATION", "RECALCULATE_SETTLEMENT_SCHEDULES")
    ]
    listener = Listener(keys.redis(), api)
    for _ in range(3):
        listener.poll()
    for _ in range(3):
        work()

    for job in jobs:
        job.refresh_from_db()
        assert job.state == State.SUCCEEDED, job.error
    assert not Job.objects.in_state(State.DEAD).exists()
    assert all(sandbox.world()["events"][f"event-{i}"]["isCompleted"] for i in range(3))
    assert {f"s-{i}" for i in range(3)} <= set(ScheduleRow.objects.values_list("entity_id", flat=True))
    name = "half \ufffd" if DIALECT == "contract" else "odd-0"  # today's main API serves no names
    assert CampaignClock.objects.get(pk="odd-0").name == name
    grown = sandbox.world()["settlements"]["s-0"]
    assert grown["variables"]["note"] == "half \ud83c"  # what is the main API's goes back as it came
    counters.flush()
    counts = counters.read(keys.redis())
    assert counts["unusable_texts", "campaign"] >= 3
    assert counts["unusable_texts", "Settlement"] >= 2
    listener.close()


SECRETS = ["token-of-ours-Ieth4iJoh7", "abcdef0123456789", "of_nobody_1234", "pw-Ohg3eiSh"]
TOLD = "refused {}, Bearer {}, camp_sk_{} at http://user:{}@api/".format(*SECRETS)


def test_a_secret_in_an_error_is_masked(
    operator: Client, redis: Redis, api: MainApi, sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main API or a library quotes our credential: database, pages, API and breaker do not."""
    logs.hide(SECRETS[:1])
    refusal = {"data": None, "errors": [{"message": TOLD, "extensions": {"code": "BAD_USER_INPUT"}}]}
    replies = [{"body": json.dumps(refusal)}] * 2
    sandbox.control("POST", "faults", {"operations": ["getOverdueEvents"], "replies": replies})
    refused, broken = submit_one("campaign-1"), submit_one("campaign-2")
    for _ in range(9):
        api.breaker.record_fault(RuntimeError(TOLD), probe=False)
    faults = [str(api.breaker.recent_errors()), str(api.breaker.snapshot())]
    api.breaker.close()
    work()

    def breaks(*_: object) -> None:
        raise RuntimeError("x" * 100_000 + TOLD) from ValueError(TOLD)

    monkeypatch.setattr(type(api), "overdue_events", breaks)
    Job.objects.filter(pk=broken.pk).update(state=State.QUEUED, due_at=timezone.now())
    attempt.record(attempt.run_handler(attempt.claim([str(broken.pk)], worker="w", now=timezone.now())), actor="w")

    assert Job.objects.get(pk=refused.pk).state == State.DEAD
    assert Job.objects.get(pk=broken.pk).error
    written = [str(list(model.objects.values())) for model in (Job, AuditEntry, FailureGroup)] + faults
    written += [operator.get(f"/admin/jobs/job/{job.pk}/change/").content.decode() for job in (refused, broken)]
    assert [secret for secret in SECRETS if any(secret in text for text in written)] == []
    assert all("***" in text for text in written)


# -- ids of any letters


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_campaigns_with_any_ids_work_everywhere(operator: Client, redis: Redis, api: MainApi, ids: list[str]) -> None:
    """Each is submitted, paused, blocked, resumed, claimed, listed, shown, cancelled."""
    made = {one: submit_forty_one(one) for one in ids}
    other = submit_one("other")
    for one in ids:
        pause = reverse("admin:jobs_campaignclock_pause", args=[quote(one)])
        assert operator.post(pause, {"reason": "r"}).status_code == 302
    assert sorted(Pause.objects.values_list("name", flat=True)) == sorted(ids)
    worker = claiming_worker(redis)
    assert take(worker) == [str(other.pk)]
    for address in (
        "/admin/jobs/pause/",
        "/admin/jobs/campaignclock/",
        "/admin/jobs/schedulerow/",
        "/admin/",
        "/admin/jobs/auditentry/",
        "/metrics/prometheus",
    ):
        assert operator.get(address).status_code == 200, address
    acts = OperatorAction.objects.filter(verb="paused").order_by("pk")
    for act, (one, jobs) in zip(acts, made.items(), strict=True):
        for address in (
            reverse("admin:jobs_campaignclock_change", args=[quote(one)]),
            act.link,
            f"/admin/jobs/job/{jobs[0].pk}/change/",
            f"/admin/jobs/job/?q={percent(one)}",
        ):
            assert operator.get(address).status_code == 200, address
        assert one.strip() in act.target
        found = operator.get(f"/admin/jobs/job/?campaign_id__exact={percent(one, safe='')}").content.decode()
        assert "41 jobs" in found or "of 41" in found or str(jobs[-1].pk) in found
        resume = reverse("admin:jobs_campaignclock_resume", args=[quote(one)])
        assert operator.post(resume, {"reason": "r"}).status_code == 302
        more = [str(job.pk) for job in jobs[1:]]
        sent = {"action": "cancel", "_selected_action": more, "confirmed": "1"}
        assert operator.post("/admin/jobs/job/", sent).status_code == 302
        states = Job.objects.filter(pk__in=more).values_list("state", flat=True)
        assert list(states) == ["CANCELLED"] * len(more)
    assert pauses.active() == []


def submit_forty_one(campaign: str) -> list[Job]:
    """Jobs of a campaign that has a schedule; the first is for a settlement with its ID."""
    CampaignClock.objects.create(campaign_id=campaign, name="")
    ScheduleRow.objects.create(
        campaign_id=campaign,
        entity_type="Settlement",
        entity_id=campaign,
        event_type="POPULATION_GROWTH",
        clock="wall",
        anchor="2026-01-01T00:00:00.000000Z",
        interval=timedelta(hours=1),
        next_due="2999-01-01T00:00:00.000000Z",
        fire_at="2999-01-01T00:00:00.000000Z",
        job_type="SETTLEMENT_GROWTH",
    )
    growth = {"settlementId": campaign, "growthType": "POPULATION_GROWTH"}
    job = submit(Submission(type="SETTLEMENT_GROWTH", campaign_id=campaign, payload=growth), actor="test")[0]
    assert job.subject == f"{campaign}:POPULATION_GROWTH"
    return [job, *submit_jobs(40, campaign_id=campaign)]


def test_long_ids_never_share_a_subject(redis: Redis) -> None:
    """The longest IDs differ in their last letter only."""
    made = set()
    for last in "ab":
        for kind in ("POPULATION_GROWTH", "RESOURCE_GENERATION"):
            growth = {"settlementId": "🏰" * 254 + last, "growthType": kind}
            work_ = Submission(type="SETTLEMENT_GROWTH", campaign_id="c" * 255, payload=growth, due_at=timezone.now())
            made.add(submit(work_, actor="test")[0].subject)

    assert len(made) == 4
    assert {job.subject for job in Job.objects.all()} == made
    assert AuditEntry.objects.count() == 4


def test_long_user_names_fit_the_audit_trail(redis: Redis, client: Client) -> None:
    """A user name may have 150 characters, the column has 120."""
    client.force_login(User.objects.create_superuser("u" * 150, "", "x"))
    submit_one()

    answer = client.post("/admin/jobs/job/add/?type=EVENT_EXPIRATION", {"campaign_id": "c-2", "reason": ""})

    assert answer.status_code == 302
    assert Job.objects.get(campaign_id="c-2").source.startswith("user:uuu")
