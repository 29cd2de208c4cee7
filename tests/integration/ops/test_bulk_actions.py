"""Bulk actions on jobs: the dry run, the steps, and who may."""

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import actions, service
from jobs.models import Job
from jobs.service import Submission, submit
from jobs.states import State
from ops import bulk
from ops.admin import changelist
from ops.verbs import VERBS
from tests.support.dead_letters import make_dead_letters
from tests.support.people import JOBS, member, some

pytestmark = pytest.mark.django_db(transaction=True)


def confirm(client: Client, verb: str, jobs: list[Job], **more: str) -> Any:
    """Post the form of the dry run."""
    form = {"action": verb, "_selected_action": [str(j.pk) for j in jobs], "confirmed": "1", **more}
    return client.post(JOBS, form)


def test_the_dry_run_counts_and_changes_nothing(admin_client: Client, redis: Redis) -> None:
    """Two wait and one was cancelled: two will be cancelled, one will not."""
    jobs = some(3)
    service.cancel(jobs[:1], actor="test", reason="")

    answer = admin_client.post(JOBS, {"action": "cancel", "_selected_action": [str(j.pk) for j in jobs]})
    page = answer.content.decode()

    assert "2 will be cancelled. 1 will not: 1 cancelled." in page
    assert "Scheduled: will be cancelled" in page
    assert "Cancelled: unchanged" in page
    assert Job.objects.filter(state=State.SCHEDULED).count() == 2


def test_a_bulk_action_covers_the_whole_filter(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More jobs than one step takes and none beside it, each audited with person and reason."""
    monkeypatch.setattr(bulk, "STEP", 3)
    some(7)
    (other,) = some(1, campaign="c-2")
    where = f"{JOBS}?campaign_id__exact=c-1"
    form = {"action": "cancel", "_selected_action": "all", "select_across": "1", "confirmed": "1", "reason": "enough"}

    answer = admin_client.post(where, form, follow=True)

    assert "7 jobs cancelled." in answer.content.decode()
    assert Job.objects.get(state=State.SCHEDULED) == other
    trail = [e for j in Job.objects.filter(campaign_id="c-1") for e in j.audit_trail.filter(now="CANCELLED")]
    assert {(e.actor, e.reason) for e in trail} == {("user:admin", "enough")}


def test_steps_of_a_bulk_action_continue_each_other(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The progress bar's requests do each job once."""
    monkeypatch.setattr(bulk, "STEP", 2)
    jobs, done, after = some(5), 0, ""
    until = str(bulk.dry_run(VERBS["cancel"], Job.objects.all()).until)
    while after is not None:
        body = confirm(admin_client, "cancel", jobs, step="1", after=after, until=until).json()
        done, after = done + body["done"], body["after"]

    assert done == 5
    assert Job.objects.filter(state=State.CANCELLED).count() == 5


def test_jobs_created_after_the_dry_run_are_left_out(redis: Redis) -> None:
    """Nobody saw them in it."""
    some(1)
    verb = VERBS["cancel"]
    until = bulk.dry_run(verb, Job.objects.all()).until
    (late,) = some(1, campaign="late")

    progress = bulk.run(actions.begin(verb.name, actor="test"), Job.objects.all(), until=until)

    assert progress.done == 1
    assert Job.objects.get(pk=late.pk).state == State.SCHEDULED


def test_a_bad_due_time_is_reported_under_its_field(admin_client: Client, redis: Redis) -> None:
    """Rescheduling to the year 9000 moves nothing and says why."""
    jobs = some(1)

    page = confirm(admin_client, "reschedule", jobs, due_at="9000-01-01T00:00:00").content.decode()

    assert "days ahead" in page
    assert Job.objects.get().due_at == jobs[0].due_at


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_viewer_cannot_run_bulk_actions(client: Client, redis: Redis, verb: str) -> None:
    """The page offers none, and the server refuses them."""
    (job,) = some(1)
    viewer = member(client, "Viewer")

    page = viewer.get(f"{JOBS}{job.pk}/change/")
    confirm(viewer, verb, [job])

    assert page.status_code == 200
    assert page.context["verbs"] == []
    job.refresh_from_db()
    assert job.state == State.SCHEDULED


def test_an_operator_may_act_on_jobs_only(client: Client, redis: Redis) -> None:
    """All verbs of jobs; neither users nor alert handlers."""
    operator = member(client, "Operator")
    (job,) = some(1)
    confirm(operator, "run_now", [job])

    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert operator.get("/admin/auth/user/").status_code == 403
    assert not User.objects.get(username="bob").has_perm("jobs.manage_alerts")


def test_the_dry_run_warns_of_retries_that_may_apply_twice(admin_client: Client, redis: Redis) -> None:
    """A retried effect that had been started."""
    due = (timezone.now() + timedelta(hours=1)).isoformat()
    job, _ = submit(
        Submission(type="DEFERRED_EFFECT", campaign_id="c", payload={"effectId": "e", "executeAt": due}), actor="test"
    )
    service.cancel([job], actor="test", reason="")
    Job.objects.filter(pk=job.pk).update(attempt=1, may_have_been_applied=True)

    page = admin_client.post(JOBS, {"action": "retry", "_selected_action": [str(job.pk)]}).content.decode()

    assert "could apply them twice" in page


def test_emptying_a_queue_needs_permission_and_is_audited(client: Client, redis: Redis) -> None:
    """A viewer may not; an operator may, and each job's trail has it."""
    job, _ = submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}, priority="CRITICAL"), actor="test")
    viewer = member(client, "Viewer")
    queue = viewer.get("/admin/queues/")
    refused = viewer.post("/admin/queues/queues/0/empty/")
    User.objects.get(username="bob").groups.add(Group.objects.get(name="Operator"))
    done = client.post("/admin/queues/queues/0/empty/")

    assert (queue.status_code, refused.status_code, done.status_code) == (200, 403, 302)
    assert job.audit_trail.get(now="CANCELLED").actor == "user:bob"


def retry_form(client: Client, ids: list[str]) -> dict[str, Any]:
    """The form of the dry run of a retry, with all that it carries."""
    form = {"action": "retry", "_selected_action": ids}
    page = client.post(JOBS, form).content.decode()
    carried = dict(re.findall(r'name="(until|states)" value="([^"]+)"', page))
    assert carried.keys() == {"until", "states"}
    return {**form, **carried, "confirmed": "1"}


@pytest.mark.parametrize("step", [{}, {"step": "1"}])
def test_a_retry_leaves_what_was_discarded_after_its_dry_run(
    admin_client: Client, redis: Redis, step: dict[str, str]
) -> None:
    """Somebody checked it; also beside a job that was cancelled before, so that the dry run had that state, too."""
    dead, other = make_dead_letters(2)
    (cancelled,) = some(1)
    service.cancel([cancelled], actor="test", reason="")
    form = retry_form(admin_client, [dead, other, str(cancelled.pk)])
    time.sleep(0.002)  # times of moves are compared in milliseconds
    service.discard([Job.objects.get(pk=dead)], actor="user:ann", reason="applied: checked in the main API")

    answer = admin_client.post(JOBS, {**form, **step}, follow=True)

    assert "changed meanwhile" in answer.content.decode()
    states = {str(job.pk): job.state for job in Job.objects.all()}
    assert states == {dead: State.CANCELLED, other: State.QUEUED, str(cancelled.pk): State.QUEUED}


def test_a_job_s_page_acts_on_the_state_that_it_shows(admin_client: Client, redis: Redis) -> None:
    """A dead letter that somebody discards while its page is open."""
    (dead,) = make_dead_letters(1)
    page = admin_client.get(f"{JOBS}{dead}/change/").content.decode()
    (shown,) = re.findall(r'name="states" value="(\w+)"', page)
    service.discard([Job.objects.get(pk=dead)], actor="user:ann", reason="applied")

    plan = admin_client.post(JOBS, {"action": "retry", "_selected_action": [dead], "states": shown}).content.decode()

    assert "0 will be retried. 1 will not: 1 cancelled, changed meanwhile." in plan
    assert 'name="confirmed"' not in plan


def test_jobs_that_went_on_by_themselves_are_not_left(admin_client: Client, redis: Redis) -> None:
    """What was scheduled at the dry run and is queued by now is cancelled as the operator wanted."""
    (job,) = some(1)
    page = admin_client.post(JOBS, {"action": "cancel", "_selected_action": [str(job.pk)]}).content.decode()
    carried = dict(re.findall(r'name="(until|states)" value="([^"]+)"', page))
    service.run_now([job], actor="test", reason="")

    confirm(admin_client, "cancel", [job], **carried)

    assert Job.objects.get().state == State.CANCELLED


@pytest.mark.parametrize("newest", [5, 100])
def test_an_action_on_a_search_has_the_jobs_of_its_dry_run(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch, newest: int
) -> None:
    """Texts are searched in the newest jobs: neither new jobs nor its own steps move what it is about."""
    monkeypatch.setattr(changelist, "SEARCHED", newest)
    monkeypatch.setattr(bulk, "STEP", 2)
    jobs, where = some(7), f"{JOBS}?q=tes&state=SCHEDULED"
    form = {"action": "cancel", "_selected_action": "all", "select_across": "1"}
    page = admin_client.post(where, form).content.decode()
    wanted = min(newest, 7)
    assert f"{wanted} will be cancelled." in page
    form |= dict(re.findall(r'name="(until|states|floor)" value="([^"]+)"', page))
    monkeypatch.setattr(changelist, "SEARCHED", 5)
    some(3, campaign="late")

    after, done = "", 0
    while after is not None:
        body = admin_client.post(where, {**form, "confirmed": "1", "step": "1", "after": after}).json()
        after, done = body["after"], done + body["done"]

    assert done == wanted
    left = Job.objects.filter(state=State.SCHEDULED).exclude(campaign_id="late")
    assert {job.pk for job in left} == {job.pk for job in jobs[: 7 - wanted]}
