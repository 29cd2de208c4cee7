"""The pages of pauses, processes and the breaker."""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import control, pauses
from jobs.engine.worker import attempt
from jobs.models import CampaignClock, OperatorAction, Pause
from jobs.processes import heartbeat
from ops.reads import active_orders
from tests.support.people import member
from tests.support.queries import count_queries
from tests.support.working import submit, work

pytestmark = pytest.mark.django_db(transaction=True)
PAUSES, PROCESSES, BREAKER = (f"/admin/jobs/pause/{page}" for page in ("", "processes/", "breaker/"))


@pytest.fixture
def person(client: Client, redis: Redis, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A browser of somebody in the group that the test names; Operator where it names none."""
    active_orders.expire()
    yield member(client, getattr(request, "param", "Operator"), name="ann")
    active_orders.expire()


def page(client: Client, path: str) -> str:
    """A page's text."""
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_pause_is_replaced_only_when_it_was_shown(person: Client, redis: Redis) -> None:
    """A double click is one pause. Another operator's is shown first, and replaced by the next press; Undo restores it.

    A third that somebody began meanwhile is shown again.
    """
    form = {"pause": "1", "what": "queue:low", "minutes": "60", "reason": "a break"}
    for _ in range(2):
        assert person.post(PAUSES, form).status_code == 302
    (first,) = pauses.active()
    assert OperatorAction.objects.count() == 1

    shorter = {**form, "minutes": "15", "reason": "deploy"}
    asked = person.post(PAUSES, shorter)

    assert "Queue low is paused by ann until" in str(asked.context["form"].errors)
    assert 'value="deploy"' in asked.content.decode()
    assert pauses.active() == [first]
    shown = asked.context["form"]["replaces"].value()
    assert person.post(PAUSES, shorter | {"replaces": shown}).status_code == 302
    (second,) = pauses.active()
    assert (OperatorAction.objects.latest("id").changes or {}).keys() == {"until", "reason"}
    assert person.post(PAUSES, form | {"replaces": shown}).status_code == 200
    assert pauses.active() == [second]
    person.post(f"{PAUSES}undo/{pauses.undo_of(second)}/")
    assert [(one.until, one.reason) for one in pauses.active()] == [(first.until, "a break")]


def test_the_form_is_filled_in_with_the_pause_that_there_is(person: Client, redis: Redis) -> None:
    """From the list, and from a campaign's page that was opened before somebody paused it, with what was typed."""
    CampaignClock.objects.create(campaign_id="c 1/2", name="Silverdale")
    paused = pauses.pause("campaign", "c 1/2", actor="user:bob", reason="they argue")
    until = (timezone.localtime() + timedelta(hours=2)).replace(microsecond=0, tzinfo=None)

    late = person.post("/admin/jobs/campaignclock/c 1_2F2/pause/", {"until": f"{until:%Y-%m-%dT%H:%M:%S}"}, follow=True)

    assert "Not paused again: campaign c 1/2 is paused by bob until resumed" in late.content.decode()
    form = late.context["form"]
    values = {name: form[name].value() for name in ("campaign", "reason", "replaces")}
    assert values == {"campaign": "c 1/2", "reason": "they argue", "replaces": paused.pk}
    assert f'value="{until.isoformat(timespec="seconds")}"' in str(form["until"])
    assert "Replace the pause" in page(person, f"{PAUSES}?what=campaign:c%201/2")
    for odd in ("campaign:c-9", "queue:%00", "moon:x", "x"):
        assert "Replace the pause" not in page(person, f"{PAUSES}?what={odd}")
    for odd in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00%2B12:00"):
        assert "Paused now" in page(person, f"{PAUSES}?what=queue:low&until={odd}")


def test_a_pause_is_shown_on_every_page_until_resumed(person: Client, redis: Redis) -> None:
    """Paused by the form, with end and reason; resumed with a reason."""
    CampaignClock.objects.create(campaign_id="campaign-2", name="Silverdale")
    submit(3)
    person.post(PAUSES, {"pause": "1", "campaign": "campaign-2", "minutes": "60", "reason": "a break"})
    work(redis)

    (pause,) = pauses.active()
    assert (pause.key, pause.actor, pause.reason) == ("campaign:campaign-2", "user:ann", "a break")
    assert pause.until is not None
    for path in ("/admin/", "/admin/jobs/job/", "/admin/jobs/campaignclock/", PROCESSES, "/admin/queues/"):
        assert "Campaign Silverdale (campaign-2) is paused by ann until" in page(person, path)
    assert '<td data-label="Blocked jobs" class="num">3</td>' in page(person, PAUSES)
    person.post(PAUSES, {"resume": "campaign:campaign-2", "reason": "they are back"})
    pause.refresh_from_db()
    assert (pause.ended_by, pause.ended_reason) == ("user:ann", "they are back")
    assert "is paused" not in page(person, "/admin/jobs/job/")
    assert "they are back" in page(person, PAUSES)
    assert "<b>Silverdale</b><br><small>campaign campaign-2</small>" in page(person, PAUSES)
    for path in ("/admin/", "/admin/jobs/auditentry/"):
        assert page(person, path).count(f'<a href="{PAUSES}">campaign Silverdale (campaign-2)</a>') == 2


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({}, "Choose one, or enter a campaign."),
        ({"what": "queue:low", "campaign": "c"}, "Choose one, or enter a campaign."),
        ({"what": "queue:low", "until": "2020-01-01T00:00"}, "must be a future time"),
        ({"campaign": "Ambermarsh"}, "has seen no campaign with this ID or name. Correct or confirm it."),
        ({"campaign": "Silverdale"}, "Several campaigns have this name. Enter an ID, such as c-1, c-2."),
        ({"what": "queue:fast"}, "Select a valid choice"),
        ({"what": "queue:low", "minutes": "15", "until": "2099-01-01T00:00"}, "not both"),
    ],
)
def test_an_invalid_pause_is_reported_under_its_field(person: Client, form: dict[str, str], fault: str) -> None:
    """And nothing is paused."""
    CampaignClock.objects.bulk_create(CampaignClock(campaign_id=f"c-{n}", name="Silverdale") for n in (1, 2))

    answer = person.post(PAUSES, {"pause": "1", **form}).content.decode()

    assert fault in answer
    assert not Pause.objects.exists()


@pytest.mark.parametrize(
    ("form", "paused"),
    [
        ({"campaign": "ambermarch chronicles"}, "campaign-1"),
        ({"campaign": "campaign-1"}, "campaign-1"),
        ({"campaign": "campaign-9", "is_id_meant": "on"}, "campaign-9"),
    ],
)
def test_a_campaign_is_paused_by_name_or_id(person: Client, form: dict[str, str], paused: str) -> None:
    """A name used to pause a campaign of that ID, which did not exist, and the page said that it was paused."""
    CampaignClock.objects.create(campaign_id="campaign-1", name="Ambermarch Chronicles")

    assert person.post(PAUSES, {"pause": "1", **form}).status_code == 302
    assert [pause.name for pause in pauses.active()] == [paused]


def test_processes_are_listed_and_can_be_stopped(person: Client, redis: Redis) -> None:
    """With host, PID, version, load and leader; a confirmation, then the request, which is stored."""
    told = heartbeat.Heartbeat("worker", "w-1", redis)
    told.beat("busy", in_flight=3, concurrency=5)
    heartbeat.Heartbeat("scheduler", "s-1", redis).beat("active")
    text = page(person, PROCESSES)

    for words in (f"PID {os.getpid()}", "3 of 5", "Leader", "0.1.0", "No listener is running"):
        assert words in text
    assert "finishes its 3 jobs and ends" in page(person, f"{PROCESSES}stop/?key=worker:w-1")
    person.post(f"{PROCESSES}stop/", {"key": "worker:w-1", "reason": "new release"})
    assert told.beat("busy") is True
    act = OperatorAction.objects.get(verb="asked to stop")
    assert (act.actor, act.reason) == ("user:ann", "new release")
    assert "Stopping" in page(person, PROCESSES)
    assert (
        "no such process is running"
        in person.post(f"{PROCESSES}stop/", {"key": "worker:gone"}, follow=True).content.decode()
    )


def test_suspended_workers_are_shown_on_every_page(person: Client, redis: Redis) -> None:
    """rqsuspend is easily forgotten."""
    call_command("rqsuspend")

    assert "All workers are suspended" in page(person, "/admin/jobs/job/")
    call_command("rqresume")
    active_orders.expire()
    assert "All workers are suspended" not in page(person, "/admin/jobs/job/")


@pytest.mark.parametrize("person", ["Administrator"], indirect=True)
def test_a_forced_breaker_is_shown_on_every_page(person: Client, redis: Redis) -> None:
    """Open with a reason, then automatic again."""
    person.post(BREAKER, {"state": "open", "reason": "repair"})

    assert "forced open by ann (repair)" in page(person, "/admin/jobs/job/")
    assert "Open: calls are blocked" in page(person, BREAKER)
    assert "open, forced by ann (repair)" in page(person, "/admin/")
    person.post(BREAKER, {"state": "automatic"})
    assert control.breaker().snapshot().forced is None
    assert "forced open" not in page(person, "/admin/jobs/job/")
    assert [a.verb for a in OperatorAction.objects.order_by("id")] == ["forced open", "made automatic"]


@pytest.mark.parametrize("person", ["Viewer"], indirect=True)
def test_a_viewer_has_no_buttons_on_control_pages(person: Client, redis: Redis) -> None:
    """And the server refuses what they would send."""
    pauses.pause("queue", "low", actor="user:bob")
    heartbeat.Heartbeat("worker", "w-1", redis).beat("idle", in_flight=0, concurrency=5)

    for path in (PAUSES, PROCESSES, BREAKER):
        text = page(person, path)
        assert not any(word in text for word in ("Resume</button>", "Stop…", "Force open</button>"))
    for path, form in (
        (PAUSES, {"resume": "queue:low"}),
        (PAUSES, {"pause": "1", "what": "queue:high"}),
        (f"{PROCESSES}stop/", {"key": "worker:w-1"}),
        (BREAKER, {"state": "open"}),
    ):
        assert person.post(path, form).status_code == 403
    assert person.get(f"{PROCESSES}stop/", {"key": "worker:w-1"}).status_code == 403
    assert [p.name for p in pauses.active()] == ["low"]


def test_an_operator_forces_the_breaker(person: Client, redis: Redis) -> None:
    """Whoever is paged at night must be able to."""
    assert "Force open</button>" in page(person, BREAKER)
    forced = person.post(BREAKER, {"state": "open", "reason": "their deploy"}, follow=True).content.decode()
    try:
        assert "Open: calls are blocked" in forced
        assert "is forced open" in forced
        (undo,) = set(re.findall(r'action="([^"]+/undo/)"', forced))
        assert "is forced open" not in person.post(undo, follow=True).content.decode()
    finally:
        control.set_breaker("automatic", actor="test")


def test_control_pages_work_without_redis(person: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """They say that it does not answer."""
    dead = Redis.from_url("redis://127.0.0.1:1")
    monkeypatch.setattr("jobs.broker.keys.redis", lambda: dead)
    pauses.pause("queue", "low", actor="user:bob")

    assert "unknown: Redis does not answer" in page(person, PAUSES)
    assert "Redis does not answer" in page(person, PROCESSES)
    monkeypatch.setattr(control.breaker(), "recent_errors", dead.ping)
    assert "the main API has answered" not in page(person, BREAKER)
    person.raise_request_exception = False
    assert person.get(f"{PROCESSES}stop/", {"key": "worker:w-1"}).status_code == 503
    assert person.post(f"{PROCESSES}stop/", {"key": "worker:w-1"}).status_code == 503
    assert not OperatorAction.objects.filter(verb="asked to stop").exists()


def test_a_worker_s_job_count_matches_its_list(person: Client, redis: Redis) -> None:
    """Two workers run jobs: each links to its own, under the tab Running."""
    for worker, jobs in (("w-1", submit(2)), ("w-2", submit(1, campaign_id="campaign-3"))):
        heartbeat.Heartbeat("worker", worker, redis).beat("busy", in_flight=len(jobs), concurrency=5)
        attempt.claim([str(job.pk) for job in jobs], worker=worker, now=timezone.now())
    links = re.findall(r'<a href="([^"]*)">(\d) jobs?</a>', page(person, PROCESSES))

    listed = [person.get(unescape(link)).context["cl"] for link, _ in links]
    assert [len(one.result_list) for one in listed] == [int(number) for _, number in links]
    assert sorted(number for _, number in links) == ["1", "2"]
    assert {tab["name"] for one in listed for tab in one.tabs() if tab["active"]} == {"Running"}


@pytest.mark.parametrize("path", [PAUSES, PROCESSES, BREAKER, "/admin/queues/", "/admin/queues/queues/4/"])
def test_control_pages_take_few_queries(person: Client, redis: Redis, path: str) -> None:
    """However many pauses there are."""
    for n in range(20):
        pauses.pause("campaign", f"c-{n}", actor="user:bob")
    person.get(path)

    with count_queries() as queries:
        person.get(path)

    assert len(queries) < 12, [q["sql"][:90] for q in queries]
