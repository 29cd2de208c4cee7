"""The trail says what an operator did: one act is one line, with old and new values, and typed reasons only."""

import re
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.models import AuditEntry, Job, JobAction, new_job_id
from jobs.states import State
from ops.reads import audit_trail
from ops.reads.audit_trail import Cursor, TrailFilters
from tests.support.actions import TRAIL, confirm, effects
from tests.support.people import JOBS, some
from tests.support.queries import count_queries
from tests.support.rows import insert

pytestmark = pytest.mark.django_db(transaction=True)
LATER = "2031-01-02T03:04:05"


def test_one_act_is_one_line_that_opens_to_its_jobs(
    admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With count, filter and reason; the jobs are paged."""
    monkeypatch.setattr("ops.reads.job_actions.PAGE", 2)
    some(3)
    some(1, campaign="c-2")
    form = {"action": "cancel", "_selected_action": "all", "select_across": "1", "confirmed": "1", "reason": "enough"}
    admin_client.post(f"{JOBS}?campaign_id__exact=c-1&state=SCHEDULED", form)

    (line,) = admin_client.get(TRAIL).context["page"].lines
    assert (line.what, line.target, line.why) == ("cancelled", "3 jobs", "enough")
    action = JobAction.objects.get()
    assert (action.selection, action.jobs) == ("campaign: c-1; state: SCHEDULED", 3)

    page = admin_client.get(f"{TRAIL}actions/{action.pk}/")
    assert "campaign: c-1; state: SCHEDULED" in page.content.decode()
    shown = [one.job.pk for one in page.context["page"].moved]
    rest = admin_client.get(f"{TRAIL}actions/{action.pk}/?before={page.context['page'].older}").context["page"].moved
    found = {*shown, *(one.job.pk for one in rest)}
    assert (len(shown), len(rest)) == (2, 1)
    assert found == set(Job.objects.filter(campaign_id="c-1").values_list("pk", flat=True))


def test_the_trail_shows_old_and_new_values(admin_client: Client, redis: Redis) -> None:
    """Of a due time, and of the payload and priority of a copy."""
    (job,) = effects(1)
    due = job.due_at
    confirm(admin_client, "reschedule", [job], due_at=LATER)
    form = {"campaign_id": "c-1", "effectId": "e-9", "executeAt": LATER, "priority": "1", "is_subject_meant": "on"}
    admin_client.post(f"{JOBS}add/?copy={job.pk}", form)

    copied, moved = admin_client.get(TRAIL).context["page"].lines

    assert moved.status.changes["due"] == (due.isoformat(), "2031-01-02T03:04:05+00:00")
    assert copied.status.changes["payload.effectId"] == ("e-0", "e-9")
    assert copied.status.changes["priority"] == ("HIGH", "LOW")


@pytest.mark.parametrize(
    ("actor", "stored", "shown"),
    [
        ("user:ann", "cancel in the admin", ""),
        ("user:ann", "submitted in the admin (a copy of 01a22901-2bd4-74ff-b09c-74b2cf28a287)", ""),
        ("user:ann", "discard in the admin; whether its work was done is unknown", ""),
        ("user:ann", "a feast; whether its work was done is unknown", "a feast"),
        ("token:game", "run-now over HTTP", ""),
        ("user:ann", "in the queue dashboard", ""),
        ("user:ann", "a feast in the admin", "a feast in the admin"),
        ("scheduler", "submitted", "submitted"),
    ],
)
def test_reasons_that_nobody_typed_are_not_shown(
    admin_client: Client, redis: Redis, actor: str, stored: str, shown: str
) -> None:
    """Of older releases, which wrote some; on the trail and on the job's page."""
    (job,) = some(1)
    service.cancel([job], actor=actor, reason=stored)

    lines = admin_client.get(TRAIL, {"scope": "all", "what": str(job.pk)}).context["page"].lines
    steps = admin_client.get(f"{JOBS}{job.pk}/change/").context["job_page"]["steps"]

    assert [lines[0].why, steps[0].reason] == [shown, shown]


def big_history(count: int, singles: int) -> JobAction:
    """One action on many jobs, and as many moves by the service and by people around it."""
    now = timezone.now()
    jobs = [new_job_id() for _ in range(count)]
    same = {
        "type": "EVENT_EXPIRATION",
        "state": State.SUCCEEDED.value,
        "due_at": now,
        "moved_at": now,
        "source": "test",
    }
    insert(Job, ({**same, "id": job, "unique_key": f"k-{n}"} for n, job in enumerate(jobs)))
    action = JobAction.objects.create(verb="retry", actor="user:ann", jobs=count)
    rows: list[tuple[UUID, str, int | None]] = [(job, "user:ann", action.pk) for job in jobs]
    rows += [(jobs[n % count], "worker:w", None) for n in range(singles)]
    rows.insert(0, (jobs[0], "user:bob", None))
    moved = {"at": now, "was": State.DEAD.value, "now": State.QUEUED.value, "attempt": 1}
    insert(AuditEntry, ({**moved, "job_id": job, "actor": who, "action_id": by} for job, who, by in rows))
    return action


@pytest.mark.parametrize("size", [60, 2_000])
def test_grouping_costs_the_same_for_any_size(admin_client: Client, redis: Redis, size: int) -> None:
    """Two lines, one page, and as many queries for 2,000 jobs as for 60."""
    action = big_history(size, singles=size * 4)
    with count_queries() as trail:
        page = audit_trail.read_page(TrailFilters(), Cursor())
    with count_queries() as queries:
        answer = admin_client.get(f"{TRAIL}actions/{action.pk}/")

    assert [(line.who, line.target) for line in page.lines if line.job_action] == [("user:ann", f"{size:,} jobs")]
    assert (len(page.lines), page.older) == (2, None)
    assert len(answer.context["page"].moved) == 50
    assert (len(trail), len(queries)) == (6, 14)


def test_the_moves_of_an_action_have_their_own_index(redis: Redis) -> None:
    """Neither those of the page nor the latest that decide about Undo are found by a scan."""
    if connection.vendor != "sqlite":
        pytest.skip("the plan is SQLite's; PostgreSQL chooses by what it knows of the rows")
    action = big_history(60, singles=10)
    with CaptureQueriesContext(connection) as queries:
        audit_trail.read_page(TrailFilters(), Cursor())
    with connection.cursor() as cursor:
        plans = []
        for query in queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql'].replace('%%', '%')}")  # as it was sent
            plans += [str(row[3]) for row in cursor.fetchall()]

    assert [plan for plan in plans if re.fullmatch(r"SCAN jobs_(auditentry|job)", plan)] == []
    assert "audit_of_actions" in AuditEntry.objects.filter(action=action).order_by("-id").explain()
