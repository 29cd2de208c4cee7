"""The failures page: groups of dead letters, and what can be done to exactly one of them."""

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import failures
from jobs.fingerprint import fingerprint_of
from jobs.ledger import Ending, moves
from jobs.models import FailureGroup, Job, OperatorAction
from jobs.outcome import Outcome
from jobs.service import Submission, submit
from jobs.states import State
from ops.reads import failures as failure_page
from tests.support.people import member
from tests.support.queries import count_queries

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/jobs/failuregroup/"


def fail_for_good(error: str, *campaigns: str, type_: str = "EVENT_EXPIRATION") -> FailureGroup:
    """Make one dead letter of each campaign, with this error."""
    failure = fingerprint_of(error, "")
    for campaign in campaigns:
        job, _ = submit(Submission(type=type_, campaign_id=campaign, payload={}), actor="test")
        moves.cycle([], [str(job.pk)], actor="worker:w", worker="w", now=timezone.now())
        job.refresh_from_db()
        ending = Ending(job, Outcome(State.DEAD, error, counts=True), error=error, failure=failure)
        moves.cycle([ending], [], actor="worker:w", worker="w", now=timezone.now())
    return FailureGroup.objects.get(pk=failure.key)


def test_dead_letters_are_grouped_by_failure(admin_client: Client, redis: Redis) -> None:
    """With count, types, campaigns and hours."""
    fail_for_good("NotFound: event-1 is gone", "c-1", "c-2")
    fail_for_good("NotFound: event-2 is gone", "c-3", type_="RECALCULATE_SETTLEMENT_SCHEDULES")
    fail_for_good("PermanentError: no", "c-1")

    page = admin_client.get(PAGE)
    found = {f.group.message: f for f in page.context["failures"]}

    gone = found["# is gone"]
    assert (gone.dead, gone.campaigns, gone.hours[-1]) == (3, 3, 3)
    assert gone.types == {"EVENT_EXPIRATION": 2, "RECALCULATE_SETTLEMENT_SCHEDULES": 1}
    assert found["no"].dead == 1
    assert "2 dead letters" not in page.content.decode()


@pytest.mark.parametrize(("verb", "state"), [("retry", State.QUEUED), ("discard", State.CANCELLED)])
def test_exactly_one_group_is_retried_or_discarded(admin_client: Client, redis: Redis, verb: str, state: State) -> None:
    """First the dry run, then the action with a reason; other groups and jobs stay as they are."""
    group, other = fail_for_good("NotFound: event-1", "c-1", "c-2"), fail_for_good("PermanentError: no", "c-3")
    submit(Submission(type="EVENT_EXPIRATION", campaign_id="c-9", payload={}), actor="test")
    where = f"/admin/jobs/job/?failure={group.key}"
    form = {
        "action": verb,
        "_selected_action": "all",
        "select_across": "1",
        "index": "0",
        "back": f"{PAGE}{group.key}/change/",
    }

    asked = admin_client.post(where, form)
    done = admin_client.post(where, {**form, "confirmed": "1", "reason": "it is mended"}, follow=True)

    assert asked.context["dry_run"].will == {"DEAD": 2}
    assert done.redirect_chain[0][0] == form["back"]
    assert "No dead letters left." in done.content.decode()
    assert Job.objects.filter(failure_key=group.key, state=state).count() == 2
    assert failure_page.find_dead_letters(other.key).count() == 1
    moved = Job.objects.filter(failure_key=group.key)
    assert all(j.audit_trail.filter(now=state, actor="user:admin", reason="it is mended").exists() for j in moved)


def test_notes_and_acknowledgements_record_the_person(admin_client: Client, redis: Redis) -> None:
    """An acknowledged failure leaves the open ones, and reopens when another job fails that way."""
    group = fail_for_good("NotFound: event-1", "c-1")
    admin_client.post(f"{PAGE}{group.key}/note/", {"note": "the world was restored"})
    admin_client.post(f"{PAGE}{group.key}/acknowledge/", {"reason": "waiting for the owners"})
    before = admin_client.get(PAGE)
    known = admin_client.get(PAGE, {"show": "known"}).content.decode()
    fail_for_good("NotFound: event-2", "c-2")
    again = admin_client.get(PAGE)

    assert before.context["failures"] == []
    assert [count for _, _, count in before.context["tabs"]] == [0, 1, 1]
    assert [count for _, _, count in again.context["tabs"]] == [1, 0, 1]
    assert "the world was restored" in known
    assert "Acknowledged by admin" in known
    assert "Recurred after" in again.content.decode()
    assert {(a.actor, a.verb, a.reason) for a in OperatorAction.objects.all()} == {
        ("user:admin", "noted", ""),
        ("user:admin", "acknowledged", "waiting for the owners"),
    }


def test_a_note_is_not_lost_to_another(admin_client: Client, redis: Redis) -> None:
    """Two write at once: the second is refused, sees the first one's note, and keeps the own text."""
    group = fail_for_good("NotFound: event-1", "c-1")
    failures.note(group, "ask\r\nthe owners", actor="user:bob")
    shown = admin_client.get(f"{PAGE}{group.key}/change/").context["note"]["shown"].value()
    failures.note(group, "asked", actor="user:bob")

    page = admin_client.post(f"{PAGE}{group.key}/note/", {"note": "it is theirs", "shown": shown})

    group.refresh_from_db()
    assert group.note == "asked"
    assert "It says: “asked”" in page.content.decode()
    assert page.context["note"]["note"].value() == "it is theirs"
    assert OperatorAction.objects.count() == 2
    again = {"note": "it is theirs", "shown": page.context["note"]["shown"].value()}
    admin_client.post(f"{PAGE}{group.key}/note/", again)
    assert OperatorAction.objects.latest("pk").changes == {"note": ["asked", "it is theirs"]}


def test_a_note_of_several_lines_can_be_changed(admin_client: Client, redis: Redis) -> None:
    """Browsers send line breaks in their own way."""
    group = fail_for_good("NotFound: event-1", "c-1")
    failures.note(group, "ask\nthe owners", actor="user:bob")

    admin_client.post(f"{PAGE}{group.key}/note/", {"note": "asked", "shown": "ask\r\nthe owners"})

    group.refresh_from_db()
    assert group.note == "asked"


def test_an_acknowledged_failure_can_be_reopened(admin_client: Client, redis: Redis) -> None:
    """By hand."""
    group = fail_for_good("NotFound: event-1", "c-1")
    admin_client.post(f"{PAGE}{group.key}/acknowledge/")
    admin_client.post(f"{PAGE}{group.key}/reopen/")

    assert [f.group for f in admin_client.get(PAGE).context["failures"]] == [group]


def test_a_failure_without_dead_letters_is_listed_under_all(admin_client: Client, redis: Redis) -> None:
    """It is neither open nor acknowledged."""
    group = fail_for_good("NotFound: event-1", "c-1")
    Job.objects.filter(failure_key=group.key).update(state=State.SUCCEEDED)

    assert admin_client.get(PAGE).context["failures"] == []
    assert "No open failures" in admin_client.get(PAGE).content.decode()
    assert len(admin_client.get(PAGE, {"show": "all"}).context["failures"]) == 1


def test_a_viewer_looks_but_may_not_act(client: Client, redis: Redis) -> None:
    """No button is shown, and the server refuses each."""
    group = fail_for_good("NotFound: event-1", "c-1")
    viewer = member(client, "Viewer")

    page = viewer.get(f"{PAGE}{group.key}/change/")
    refused = [viewer.post(f"{PAGE}{group.key}/{verb}/").status_code for verb in ("note", "acknowledge", "reopen")]
    viewer.post(
        f"/admin/jobs/job/?failure={group.key}",
        {"action": "discard", "_selected_action": "all", "select_across": "1", "confirmed": "1"},
    )

    assert page.status_code == 200
    assert "Retry all" not in page.content.decode()
    assert "Save note" not in page.content.decode()
    assert refused == [403, 403, 403]
    assert failure_page.find_dead_letters(group.key).count() == 1
    assert not OperatorAction.objects.exists()


def test_failures_are_paged(admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time last seen; those seen at the same time are neither left out nor shown twice."""
    monkeypatch.setattr(failure_page, "PAGE", 2)
    for word in ("one", "two", "three"):
        fail_for_good(f"PermanentError: {word}", "c-1" + word)
    first = admin_client.get(PAGE)
    second = admin_client.get(PAGE, {"before": first.context["older"]})
    FailureGroup.objects.update(last_seen=timezone.now())
    together = admin_client.get(PAGE)
    rest = admin_client.get(PAGE, {"before": together.context["older"]})

    assert [f.group.message for f in first.context["failures"]] == ["three", "two"]
    assert [f.group.message for f in second.context["failures"]] == ["one"]
    seen = [f.group.message for page in (together, rest) for f in page.context["failures"]]
    assert sorted(seen) == ["one", "three", "two"]


@pytest.mark.parametrize("one", [False, True])
def test_pages_take_few_queries(client: Client, redis: Redis, one: bool) -> None:
    """Fewer than 16, however many failures are shown."""
    groups = [fail_for_good(f"PermanentError: {word}", f"c-{word}") for word in ("a", "b", "c", "d", "e")]
    operator = member(client, "Operator")
    with count_queries() as queries:
        assert operator.get(f"{PAGE}{groups[0].key}/change/" if one else PAGE).status_code == 200

    assert len(queries) < 16, [q["sql"][:90] for q in queries]


def test_groups_are_found_by_the_index_of_dead_letters() -> None:
    """Nothing scans the jobs."""
    if connection.vendor != "sqlite":
        pytest.skip("the plan is SQLite's; PostgreSQL chooses by what it knows of the rows")
    plans = [failure_page.find_dead_letters("0" * 16).explain(), failure_page.find_groups("open").explain()]

    assert all("job_dead" in plan for plan in plans)
    assert not any("SCAN jobs_job" in plan or "SCAN d" in plan for plan in plans)
