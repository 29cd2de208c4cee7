"""RQ's dashboard in the admin: its pages, and its buttons as commands of ours."""

import json
import re
import time
from datetime import timedelta

import django_rq
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_rq.cron import DjangoCronScheduler
from redis import Redis
from rq.job import Job as RQJob
from rq.queue import Queue as RQQueue
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.worker import SimpleWorker

from jobs import service
from jobs.broker import keys
from jobs.engine.worker.rq_mirror import RQMirror
from jobs.ledger import moves
from jobs.models import Job, OperatorAction
from jobs.states import Priority
from ops import rq_dashboard
from tests.support.ledger import last_of, state_of
from tests.support.people import member
from tests.support.processes import Start
from tests.support.servers import SandboxApi, wait_until
from tests.support.working import submit, submit_failing, work

pytestmark = pytest.mark.django_db(transaction=True)
QUEUE = 4  #: the dashboard numbers queues by name; this is `normal`
BASE = f"/admin/queues/queues/{QUEUE}"


@pytest.fixture
def operator(client: Client, redis: Redis) -> Client:
    """A browser of ann, an operator."""
    return member(client, "Operator", name="ann")


def text(client: Client, path: str) -> str:
    """A page's text; for a scheduler job, that of its own page."""
    answer = client.get(path, follow=True)
    assert answer.status_code == 200, path
    return answer.content.decode()


def test_requeue_of_a_failed_job_is_a_retry(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """On its page, in the bulk form and for the whole list; with the person's name."""
    one, two, three = submit_failing(3)
    work(redis)

    operator.post(f"{BASE}/{one.pk}/requeue/")
    operator.post(f"/admin/queues/queues/actions/{QUEUE}/", {"action": "requeue", "job_ids": [str(two.pk), "gone"]})
    assert [last_of(job) for job in (one, two)] == [("QUEUED", "user:ann")] * 2
    said = operator.post(f"{BASE}/requeue-all/", follow=True).content.decode()

    assert "1 job retried." in said
    assert last_of(three) == ("QUEUED", "user:ann")
    assert django_rq.get_queue("normal").count == 3


def test_the_failed_list_acts_on_dead_letters_only(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """RQ's list may still have a job that was discarded or retried while Redis was away."""
    one, two, three = submit_failing(3)
    work(redis)
    failed = FailedJobRegistry(queue=django_rq.get_queue("normal"))
    listed = failed.get_job_ids()
    service.discard([Job.objects.get(pk=one.pk)], actor="user:bob", reason="applied")
    service.retry([Job.objects.get(pk=two.pk)], actor="user:bob", reason="")
    redis.zadd(failed.key, dict.fromkeys(listed, time.time() + 1000))

    said = operator.post(f"{BASE}/requeue-all/", follow=True).content.decode()
    assert "1 job retried. 2 were not changed" in said
    operator.post(f"/admin/queues/queues/actions/{QUEUE}/", {"action": "requeue", "job_ids": [str(one.pk)]})
    assert [state_of(job) for job in (one, two, three)] == ["CANCELLED", "QUEUED", "QUEUED"]

    redis.zadd(failed.key, dict.fromkeys(listed, time.time() + 1000))
    operator.post(f"{BASE}/failed/clear/")
    assert [state_of(job) for job in (one, two, three)] == ["CANCELLED", "QUEUED", "QUEUED"]


def test_delete_is_a_cancel(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """Of queued jobs and dead letters; finished ones stay, and the answer says so."""
    (done,) = submit(1)
    work(redis)
    queued = submit(3)
    (failed,) = submit_failing()

    operator.post(f"{BASE}/{queued[0].pk}/delete/")
    ids = [str(job.pk) for job in (queued[1], done)]
    said = operator.post(
        f"/admin/queues/queues/actions/{QUEUE}/", {"action": "delete", "job_ids": ids}, follow=True
    ).content.decode()
    work(redis)
    operator.post(f"{BASE}/failed/clear/")

    assert "1 job cancelled. 1 was not changed: 1 succeeded." in said
    assert [last_of(job) for job in (*queued[:2], failed)] == [("CANCELLED", "user:ann")] * 3
    assert state_of(queued[2]) == "SUCCEEDED"
    assert not redis.exists(RQJob.key_for(str(queued[0].pk)))


def test_emptying_a_queue_cancels_its_jobs(operator: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scheduler jobs with their backlogs by name, plain RQ jobs as RQ does; other queues are left alone."""
    monkeypatch.setattr(rq_dashboard, "STEP", 50)
    jobs = submit(120)
    (other,) = submit(1, priority=Priority.LOW.value, campaign_id="c-9")
    foreign = django_rq.get_queue("normal").enqueue(len, "four")

    said = operator.post(f"{BASE}/empty/", follow=True).content.decode()

    assert "120 jobs cancelled. 1 plain RQ job deleted." in said
    assert {last_of(job) for job in jobs[:3]} == {("CANCELLED", "user:ann")}
    assert state_of(other) == "QUEUED"
    assert django_rq.get_queue("normal").count == 0
    act = OperatorAction.objects.get()
    assert (act.actor, act.verb, act.target) == ("user:ann", "deleted", f"RQ's job {foreign.id} of queue normal")


def test_enqueue_of_a_scheduled_job_is_run_now(operator: Client, redis: Redis) -> None:
    """With the person's name; RQ's dashboard lists it among rq-scheduler's jobs."""
    (job,) = submit(1, due_at=timezone.now() + timedelta(minutes=2))
    assert str(job.pk) in text(operator, "/admin/queues/schedulers/0/")

    operator.post(f"{BASE}/{job.pk}/enqueue/")

    assert last_of(job) == ("QUEUED", "user:ann")
    assert str(job.pk) not in text(operator, "/admin/queues/schedulers/0/")


def test_started_jobs_are_listed_beside_what_rq_cannot_read(operator: Client, redis: Redis) -> None:
    """Entries that are no job with an execution, and of jobs that RQ has forgotten, leave the list."""
    (job,) = submit(1)
    known = f"{job.pk}:1".encode()
    redis.zadd("rq:wip:normal", dict.fromkeys((b"odd", b"a:b:c", b"\xff:1", b"gone:1", known), 1e12))

    listed = operator.get(f"{BASE}/started/")

    assert listed.context["num_jobs"] == 1
    assert redis.zrange("rq:wip:normal", 0, -1) == [known]


def test_stop_gives_up_a_running_job(operator: Client, start: Start, redis: Redis, sandbox: SandboxApi) -> None:
    """The dashboard shows it as started, with its worker; Stop makes it a dead letter, with the name."""
    sandbox.control("POST", "faults", {"latencyMs": 30_000})
    start("rqworker", API_REQUEST_TIMEOUT_MS="60000")
    (job,) = submit(1)
    wait_until(lambda: StartedJobRegistry("normal", redis).get_job_count(cleanup=False), what="shown as started")

    assert str(job.pk) in text(operator, f"{BASE}/started/")
    (worker,) = SimpleWorker.all(connection=redis)
    assert worker.get_current_job_id() == str(job.pk)
    assert str(job.pk) in text(operator, f"/admin/queues/workers/{QUEUE}/{worker.key}/")
    operator.post(f"{BASE}/{job.pk}/stop/")
    wait_until(lambda: state_of(job) == "DEAD", what="given up")
    wait_until(lambda: str(job.pk) in FailedJobRegistry("normal", redis).get_job_ids(), what="shown as failed")
    assert "stopped by ann" in text(operator, f"{BASE}/{job.pk}/")


def test_stop_says_when_the_worker_does_not_listen(operator: Client, redis: Redis) -> None:
    (job,) = submit(1)
    moves.cycle([], [str(job.pk)], actor="worker:lost", worker="lost", now=timezone.now())

    page = operator.post(f"{BASE}/{job.pk}/stop/", follow=True).content.decode()

    assert "its worker does not listen" in page
    assert not OperatorAction.objects.filter(verb="asked to stop").exists()


@pytest.mark.usefixtures("foreign_jobs")
def test_buttons_follow_the_state(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """Finished jobs have none; each job's link leads to its own page; plain RQ jobs can be deleted."""
    (done,), (failed,) = submit(1), submit_failing()
    work(redis)
    (queued,) = submit(1)
    (later,) = submit(1, due_at=timezone.now() + timedelta(minutes=2))

    def buttons(page: str) -> set[str]:
        found = re.findall(r'(?:name="action" value="|/)(requeue|delete|enqueue|stop)(?:"|/")', text(operator, page))
        return set(found)

    assert "_selected_action" not in text(operator, f"{BASE}/finished/")
    assert buttons(f"{BASE}/finished/") == set()
    assert buttons(f"{BASE}/failed/") == {"requeue", "delete"}
    assert buttons(f"{BASE}/") == {"delete"}
    for job in (done, failed, queued, later):
        page = operator.get(f"{BASE}/{job.pk}/")
        assert (page.status_code, page.headers["Location"]) == (302, f"/admin/jobs/job/{job.pk}/change/")

    foreign = django_rq.get_queue("normal").enqueue(len, "four")
    SimpleWorker([RQQueue("normal", connection=redis)], connection=redis).work(burst=True)
    finished = text(operator, f"{BASE}/finished/")
    assert re.findall(r'name="_selected_action" value="([^"]*)"', finished) == [foreign.id]
    assert str(done.pk) in finished


@pytest.mark.parametrize("group", ["Viewer", "Nobody"])
def test_buttons_need_the_admin_s_permissions(client: Client, redis: Redis, group: str) -> None:
    """A viewer sees everything and may press nothing; staff without a group see nothing."""
    member(client, *(["Viewer"] if group == "Viewer" else []))
    (job,) = submit(1)

    for page in ("", "stats.json", f"queues/{QUEUE}/", f"queues/{QUEUE}/{job.pk}/", f"workers/{QUEUE}/"):
        assert client.get(f"/admin/queues/{page}", follow=True).status_code == (200 if group == "Viewer" else 403)
    ids = {"job_ids": [str(job.pk)], "_selected_action": [str(job.pk)]}
    for page, form in (
        (f"{BASE}/{job.pk}/delete/", {}),
        (f"{BASE}/{job.pk}/requeue/", {}),
        (f"{BASE}/{job.pk}/enqueue/", {}),
        (f"{BASE}/{job.pk}/stop/", {}),
        (f"{BASE}/empty/", {}),
        (f"{BASE}/requeue-all/", {}),
        (f"{BASE}/failed/clear/", {}),
        (f"/admin/queues/queues/actions/{QUEUE}/", {"action": "delete", **ids}),
        (f"/admin/queues/queues/actions/{QUEUE}/", {"action": "explode", **ids}),
        (f"/admin/queues/queues/confirm-action/{QUEUE}/", {"action": "stop", **ids}),
    ):
        assert client.post(page, form).status_code == 403, page
    assert state_of(job) == "QUEUED"


def test_visitors_are_sent_to_the_login(client: Client, redis: Redis) -> None:
    """On every page, in every environment; so are users who are not staff."""
    client.force_login(User.objects.create_user("eve"))
    for page in ("", "stats.json", "metrics", f"queues/{QUEUE}/", f"queues/{QUEUE}/failed/"):
        assert client.get(f"/admin/queues/{page}").status_code == 302


def test_every_page_of_the_dashboard_answers(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """With queued, finished, failed and scheduled jobs, and the failed one's traceback."""
    (failed,) = submit_failing()
    submit(2)
    work(redis)
    (queued,) = submit(1)
    foreign = django_rq.get_queue("normal").enqueue_in(timedelta(hours=1), len, "four")

    assert "PermanentError" in text(operator, f"{BASE}/{failed.pk}/")
    assert str(failed.pk) in text(operator, f"{BASE}/failed/")
    assert str(queued.pk) in text(operator, f"{BASE}/")
    assert foreign.id in text(operator, f"{BASE}/scheduled/")
    for page in (
        "",
        f"queues/{QUEUE}/details/",
        f"queues/{QUEUE}/finished/",
        f"queues/{QUEUE}/deferred/",
        f"queues/{QUEUE}/started/",
        f"queues/{QUEUE}/empty/",
        f"queues/{QUEUE}/requeue-all/",
        f"queues/{QUEUE}/failed/clear/",
        f"queues/{QUEUE}/{queued.pk}/delete/",
        f"workers/{QUEUE}/",
        "schedulers/0/",
    ):
        text(operator, f"/admin/queues/{page}")
    form = {"action": "requeue", "_selected_action": [str(failed.pk)]}
    assert str(failed.pk) in operator.post(f"/admin/queues/queues/confirm-action/{QUEUE}/", form).content.decode()
    queues = {q["name"]: q for q in json.loads(text(operator, "/admin/queues/stats.json"))["queues"]}
    assert (queues["normal"]["failed_jobs"], queues["normal"]["finished_jobs"], queues["normal"]["jobs"]) == (1, 2, 1)


def test_dashboard_times_are_in_the_user_s_zone(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """With the zone, as on all other pages; RQ has them in UTC."""
    operator.cookies["zone"] = "America/Sao_Paulo"
    submit(1)
    waiting = text(operator, "/admin/queues/")
    work(redis)

    for page in (waiting, text(operator, f"{BASE}/finished/")):
        assert re.search(r"<small>20\d\d-\d\d-\d\d \d\d:\d\d:\d\d -03</small>", page)
        assert "now</span>" in page or "s ago</span>" in page


@pytest.mark.parametrize(
    "entry", [b"gone:run", b"\n\x8e\x9b:run", b"\xff", b"no colon", b"a:b:c", b":", b"", "né:☃".encode()]
)
def test_started_jobs_are_listed_beside_one_that_expired_or_is_odd(
    operator: Client, redis: Redis, entry: bytes
) -> None:
    """The page shows the others, and this one leaves the list."""
    (job,) = submit(1)
    now = timezone.now()
    mirror = RQMirror("w", ["normal"], keys.own_redis())
    mirror.note_started(moves.cycle([], [str(job.pk)], actor="worker:w", worker="w", now=now)[1])
    mirror.sync(now)
    registry = StartedJobRegistry("normal", redis)
    redis.zadd(registry.key, {entry: time.time() + 60})

    assert str(job.pk) in text(operator, f"{BASE}/started/")
    assert registry.get_job_ids() == [str(job.pk)]


@pytest.mark.usefixtures("foreign_jobs")
def test_rq_s_own_cron_has_pages(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """A CronScheduler on our Redis: its pages answer, and what it enqueues runs as plain RQ jobs."""
    cron = DjangoCronScheduler(name="theirs")
    cron.register(len, "default", args=("four",), interval=60, name="count")
    cron.register_birth()
    cron.heartbeat()
    cron.enqueue_jobs()
    cron.save()
    work(redis)

    assert "theirs" in text(operator, "/admin/queues/")
    assert "count" in text(operator, "/admin/queues/cron-schedulers/0/theirs/")
    assert "Finished" in text(operator, "/admin/queues/cron-schedulers/0/theirs/jobs/count/")
