"""The audit trail's page: all moves and actions, searched without a scan."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import audit, pauses, service
from jobs.cron import tasks
from jobs.models import AuditEntry, CronTask, OperatorAction
from ops.reads import audit_trail
from ops.reads.audit_trail import Cursor, TrailFilters
from tests.support.people import member, some
from tests.support.queries import count_queries

pytestmark = pytest.mark.django_db(transaction=True)
TRAIL = "/admin/jobs/auditentry/"


def read_lines(client: Client, **query: str) -> list[audit_trail.TrailLine]:
    """The lines of a page."""
    answer = client.get(TRAIL, query)
    assert answer.status_code == 200
    lines: list[audit_trail.TrailLine] = answer.context["page"].lines
    return lines


def some_history() -> None:
    """Two moves by ann, one by the service itself, and one act of bob."""
    jobs = some(3)
    service.cancel(jobs[:2], actor="user:ann", reason="a feast")
    service.run_now(jobs[2:], actor="scheduler", reason="due")
    audit.record(actor="user:bob", verb="paused", target="queue high", reason="noise")


@pytest.mark.parametrize(("verb", "word"), [("made", "created"), ("added", "created"), ("limited", "changed")])
def test_a_kept_verb_is_found_by_the_word_that_pages_show(
    admin_client: Client, redis: Redis, verb: str, word: str
) -> None:
    """And by itself."""
    audit.record(actor="user:bob", verb=verb, target="x")
    audit.record(actor="user:bob", verb="paused", target="x")

    for what in (word, word.upper(), verb):
        assert [line.what for line in read_lines(admin_client, what=what)] == [word]


def test_moves_and_actions_are_in_one_list(admin_client: Client, redis: Redis) -> None:
    """Operators' first; the rest on request."""
    some_history()

    assert [(line.who, line.what) for line in read_lines(admin_client)] == [
        ("user:bob", "paused"),
        ("user:ann", "scheduled → cancelled"),
        ("user:ann", "scheduled → cancelled"),
    ]
    assert len(read_lines(admin_client, scope="all")) == 7


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"who": "ann"}, 2),
        ({"what": "CANCELLED"}, 2),
        ({"what": "queue high"}, 1),
        ({"why": "feast"}, 2),
        ({"what": "cancelled, queue high"}, 3),
        ({"why": "NOISE"}, 1),
        ({"who": "nobody"}, 0),
        ({"origin": "10.0.0.7"}, 0),
        ({"who": "scheduler"}, 0),
        ({"who": "scheduler", "scope": "all"}, 1),
        ({"since": "2000-01-01T00:00Z"}, 3),
        ({"until": "2000-01-01T00:00Z"}, 0),
    ],
)
def test_the_trail_is_searched(admin_client: Client, redis: Redis, query: dict[str, str], found: int) -> None:
    """By who, what, why, from where and when."""
    some_history()

    assert len(read_lines(admin_client, **query)) == found


def test_the_trail_is_searched_by_origin(admin_client: Client, redis: Redis) -> None:
    """Address and request ID."""
    (job,) = some(1)
    form = {"action": "cancel", "_selected_action": [str(job.pk)], "confirmed": "1"}
    admin_client.post("/admin/jobs/job/", form, REMOTE_ADDR="203.0.113.9", HTTP_X_REQUEST_ID="req-77")

    assert [line.ip for line in read_lines(admin_client, origin="203.0.113")] == ["203.0.113.9"]
    assert [line.request_id for line in read_lines(admin_client, origin="req-77")] == ["req-77"]
    assert [line.who for line in read_lines(admin_client, what=str(job.pk))] == ["user:admin"]


def test_end_times_are_shown_in_the_user_s_zone(admin_client: Client, redis: Redis) -> None:
    """With the zone, of a pause and of a cron task; a value that is no time stays as it is."""
    until = datetime(timezone.now().year + 1, 7, 1, 6, 30, tzinfo=UTC)
    pauses.pause("queue", "high", until=until, actor="user:ann")
    pauses.pause("queue", "low", actor="user:ann")
    tasks.disable(CronTask.objects.earliest("pk"), until=until, actor="user:ann")
    admin_client.cookies["zone"] = "Europe/Berlin"

    page = admin_client.get(TRAIL).content.decode()
    assert page.count(f"<small>{until.year}-07-01 08:30:00 CEST</small>") == 2
    assert "until</span>: - → until resumed" in " ".join(page.split())
    assert f"→ {until.year}" not in page


@pytest.mark.parametrize("edge", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_times_at_the_edge_of_the_calendar_are_shown_unchanged(admin_client: Client, redis: Redis, edge: str) -> None:
    """No other zone has them."""
    audit.record(actor="user:ann", verb="noted", target="a failure", changes={"note": ("", edge)})
    admin_client.cookies["zone"] = "Europe/Berlin"

    assert f"→ {edge}" in admin_client.get(TRAIL).content.decode().replace("&#x2B;", "+").replace("&#43;", "+")


def test_a_bad_time_is_reported_under_its_field(admin_client: Client) -> None:
    """In words, with the rest of the page."""
    page = admin_client.get(TRAIL, {"since": "yesterday"}).content.decode()

    assert "Enter a valid date/time" in page
    assert "No entries match." in page
    assert "No actions by operators yet." not in page


def test_every_line_is_on_exactly_one_page(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves and actions mixed, whatever arrives meanwhile."""
    monkeypatch.setattr(audit_trail, "PAGE", 4)
    for number, job in enumerate(some(9)):
        service.cancel([job], actor="user:ann", reason=f"move {number}")
        if number % 2:
            audit.record(actor="user:bob", verb="paused", target=f"act {number}")
    seen, cursor = [], Cursor()
    while True:
        page = audit_trail.read_page(TrailFilters(), cursor)
        seen += [line.why or line.target for line in page.lines]
        audit.record(actor="user:eve", verb="came", target="between")
        if page.older is None:
            break
        cursor = page.older

    assert sorted(seen) == sorted([*(f"move {n}" for n in range(9)), *(f"act {n}" for n in (1, 3, 5, 7))])


def test_a_search_continues_on_the_next_page(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are searched in a bounded part of the moves; the next page takes the next part."""
    monkeypatch.setattr(audit_trail, "SEARCHED", 5)
    jobs = some(12)
    service.cancel(jobs[:1], actor="user:ann", reason="the oldest")
    for job in jobs[1:]:
        service.cancel([job], actor="user:ann", reason="later")
    pages, cursor = 0, Cursor()
    while not (page := audit_trail.read_page(TrailFilters(why="oldest"), cursor)).lines:
        assert page.older is not None
        cursor, pages = page.older, pages + 1

    assert pages >= 1
    assert page.lines[0].why == "the oldest"


def test_a_time_is_found_by_bisection(redis: Redis) -> None:
    """The first entry at or after it, whatever gaps retention left."""
    some(6)
    entries = list(AuditEntry.objects.order_by("id"))
    began = timezone.now() - timedelta(hours=1)
    for number, entry in enumerate(entries):
        AuditEntry.objects.filter(pk=entry.pk).update(at=began + timedelta(minutes=number))
    AuditEntry.objects.filter(pk=entries[2].pk).delete()

    assert audit_trail.find_first_since(began) == entries[0].pk
    assert audit_trail.find_first_since(began + timedelta(minutes=2)) in (entries[2].pk, entries[3].pk)
    assert audit_trail.find_first_since(began + timedelta(minutes=4, seconds=30)) == entries[5].pk
    assert audit_trail.find_first_since(timezone.now()) == entries[5].pk + 1
    AuditEntry.objects.all().delete()
    assert audit_trail.find_first_since(began) == 0


def test_operators_moves_have_their_own_index(redis: Redis) -> None:
    """Workers' moves in between cost nothing."""
    if connection.vendor != "sqlite":
        pytest.skip("the plan is SQLite's; PostgreSQL chooses by what it knows of the rows")
    with CaptureQueriesContext(connection) as queries:
        audit_trail.read_page(TrailFilters(), Cursor(entry=1000))
    sql = next(q["sql"] for q in queries if "jobs_auditentry" in q["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = [row[3] for row in cursor.fetchall()]

    assert plan == ["SEARCH jobs_auditentry USING INDEX audit_single_by_people (id<?)"]


def test_the_page_takes_few_queries(admin_client: Client, redis: Redis) -> None:
    """However many lines are shown."""
    some_history()
    with count_queries() as queries:
        read_lines(admin_client, who="ann", since="2000-01-01T00:00Z", until="2100-01-01T00:00Z")

    assert len(queries) == 14


def test_changes_to_users_are_audited(admin_client: Client) -> None:
    """Who got which group, without a password."""
    bob = User.objects.create_user("bob", is_staff=True)
    viewer = Group.objects.get(name="Viewer")
    form: dict[str, Any] = {
        "username": "bob",
        "is_active": "on",
        "is_staff": "on",
        "groups": [str(viewer.pk)],
        "email": "b@example.org",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "last_login_0": "",
        "last_login_1": "",
    }

    answer = admin_client.post(f"/admin/auth/user/{bob.pk}/change/", form)

    assert answer.status_code == 302, answer.context["errors"]
    act = OperatorAction.objects.get()
    assert (act.actor, act.verb, act.target) == ("user:admin", "changed", "user bob")
    assert act.changes is not None
    assert act.changes["groups"] == [[], ["Viewer"]]
    assert act.changes["email"] == ["", "b@example.org"]
    assert act.link == f"/admin/auth/user/{bob.pk}/change/"


def test_the_trail_needs_permission(client: Client, redis: Redis) -> None:
    """403 without it; nobody adds or deletes a line."""
    viewer = member(client, "Viewer")

    assert viewer.get(TRAIL).status_code == 200
    assert viewer.post(f"{TRAIL}add/").status_code == 403
    User.objects.get(username="bob").groups.clear()
    assert viewer.get(TRAIL).status_code == 403
