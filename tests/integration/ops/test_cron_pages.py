"""The pages of cron tasks: description, next runs, history and permissions."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs.cron import firing as cron
from jobs.cron import tasks as cron_tasks
from jobs.models import CronFiring, CronTask, FiringOutcome, Job, Misfire, OperatorAction
from jobs.states import State
from ops.reads import cron as cron_page
from tests.support.ledger import make_rows
from tests.support.people import member
from tests.support.queries import count_queries

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/jobs/crontask/"


def task(**more: Any) -> CronTask:
    """An enabled task that has not fired."""
    fields = {"name": "nightly", "type": "EVENT_EXPIRATION", "expression": "0 * * * *"}
    return CronTask.objects.create(**fields | more)


def form_of(one: CronTask, **changes: str) -> dict[str, Any]:
    """What the page's form would post."""
    return {
        "name": one.name,
        "type": one.type,
        "campaign_id": one.campaign_id,
        "payload": "{}",
        "priority": 5,
        "expression": one.expression,
        "time_zone": one.time_zone,
        "misfire": one.misfire,
        "enabled": "on",
        "reason": "",
        "disabled_until_0": "",
        "disabled_until_1": "",
        **changes,
    }


@pytest.mark.parametrize("enabled", [True, False])
def test_a_press_changes_nothing_else(enabled: bool, redis: Redis) -> None:
    """An edit and a firing since the page was read stay, and the trail shows what the press has changed."""
    seen = task(enabled=enabled)
    fired = timezone.now()
    CronTask.objects.filter(pk=seen.pk).update(expression="0 3 * * *", last_fired_at=fired)

    if enabled:
        cron_tasks.disable(seen, until=None, actor="user:ann")
    else:
        cron_tasks.enable(seen, actor="user:ann")

    now = CronTask.objects.get(pk=seen.pk)
    assert (now.expression, now.last_fired_at, now.enabled) == ("0 3 * * *", fired, not enabled)
    assert now.next_fire_at == (None if enabled else cron.next_fire(now, timezone.now()))
    assert OperatorAction.objects.get().changes == {"enabled": [enabled, not enabled]}


def test_a_deleted_task_stays_deleted(redis: Redis) -> None:
    seen = task()
    CronTask.objects.filter(pk=seen.pk).delete()

    assert not cron_tasks.disable(seen, until=None, actor="user:ann")
    assert not cron_tasks.enable(seen, actor="user:ann")
    assert not CronTask.objects.filter(name=seen.name).exists()
    assert not OperatorAction.objects.exists()


def test_a_task_is_not_disabled_again_until_another_time(admin_client: Client, redis: Redis) -> None:
    """By a page that was opened before somebody disabled it: it says until when. A second press changes nothing."""
    one = task()
    until = (timezone.now() + timedelta(hours=5)).replace(second=0, microsecond=0)
    cron_tasks.disable(one, until=until, actor="user:bob", reason="a feast")

    late = admin_client.post(f"{PAGE}{one.pk}/disable/", {"until": "", "reason": "for ever"}, follow=True)
    again = cron_tasks.disable(one, until=until, actor="user:ann", reason="a feast")

    assert "Not disabled again: it is disabled already, until 2" in late.content.decode()
    assert not again
    one.refresh_from_db()
    assert (one.disabled_until, one.disabled_reason) == (until, "a feast")
    assert OperatorAction.objects.count() == 1


def test_a_rejected_task_does_not_stop_the_others(admin_client: Client, redis: Redis) -> None:
    """Of two run now, one has an unknown type: it is named, and the other's job is submitted."""
    both = [task(name="old", type="GONE"), task()]
    form = {"action": "run_now", "_selected_action": [str(one.pk) for one in both]}
    text = admin_client.post(PAGE, form, follow=True).content.decode()

    assert "old is not submitted" in text
    assert "Submitted 1 job." in text
    assert Job.objects.get().type == "EVENT_EXPIRATION"


@pytest.mark.parametrize(
    ("verb", "enabled", "said"), [("enable", True, "Enabled 1 task"), ("disable", False, "Disabled 2")]
)
def test_tasks_are_switched_together(admin_client: Client, redis: Redis, verb: str, enabled: bool, said: str) -> None:
    """Those that are so already are not counted, nor recorded as changed."""
    every = [task(), task(name="hourly"), task(name="off", enabled=False)]
    form = {"action": verb, "_selected_action": [str(one.pk) for one in every]}
    text = admin_client.post(PAGE, form, follow=True).content.decode()

    assert said in text
    assert {one.enabled for one in CronTask.objects.filter(pk__in=[one.pk for one in every])} == {enabled}
    changed = {one.name for one in every if one.enabled is not enabled}
    acts = OperatorAction.objects.filter(verb__startswith=verb).values_list("target", flat=True)
    assert set(acts) == {f"cron task {name}" for name in changed}


def test_each_task_that_is_deleted_is_recorded(admin_client: Client, redis: Redis) -> None:
    """Of several at once, too."""
    one, other, kept = task(), task(name="hourly"), task(name="kept")
    form = {"action": "delete_selected", "_selected_action": [str(one.pk), str(other.pk)], "post": "yes"}

    assert admin_client.post(PAGE, form, follow=True).status_code == 200

    assert not CronTask.objects.filter(pk__in=[one.pk, other.pk]).exists()
    assert CronTask.objects.filter(pk=kept.pk).exists()
    acts = OperatorAction.objects.filter(verb="deleted").values_list("target", flat=True)
    assert sorted(acts) == ["cron task hourly", "cron task nightly"]


def test_the_preview_is_in_the_task_s_time_zone(admin_client: Client) -> None:
    """Five runs with the zone's name, while somebody types."""
    text = admin_client.get(f"{PAGE}preview/", {"expression": "30 9 * * *", "time_zone": "Asia/Tokyo"}).content.decode()

    assert "At 09:30" in text
    assert text.count("09:30:00 JST") == 5


@pytest.mark.parametrize(
    ("expression", "zone", "fault"),
    [
        ("61 * * * *", "UTC", "is not a cron expression"),
        ("0 0 31 2 *", "UTC", "is not a cron expression"),
        ("0 * * * *", "Mars/Base", "no time zone"),
        ("", "UTC", "Five fields"),
    ],
)
def test_the_preview_explains_errors(admin_client: Client, expression: str, zone: str, fault: str) -> None:
    """In words, never with an error page."""
    text = admin_client.get(f"{PAGE}preview/", {"expression": expression, "time_zone": zone}).content.decode()

    assert fault in text


def test_changing_a_task_is_audited_with_before_and_after(admin_client: Client) -> None:
    """Who, what and why; a bad expression is reported under its field and changes nothing."""
    one = task()
    where = f"{PAGE}{one.pk}/change/"
    bad = admin_client.post(where, form_of(one, expression="* * *"))
    good = admin_client.post(where, form_of(one, expression="30 3 * * *", reason="nights are quiet"))

    assert "is not a cron expression" in str(bad.context["adminform"].form.errors["expression"])
    assert good.status_code == 302
    one.refresh_from_db()
    assert one.expression == "30 3 * * *"
    act = OperatorAction.objects.get()
    assert (act.actor, act.verb, act.reason) == ("user:admin", "changed", "nights are quiet")
    assert act.changes == {"expression": ["0 * * * *", "30 3 * * *"]}


def test_a_disabled_task_is_re_enabled_at_its_time(admin_client: Client, redis: Redis) -> None:
    """It does not fire meanwhile, and does not catch up afterwards."""
    one = task(misfire=Misfire.ALL)
    until = timezone.now() + timedelta(hours=5)
    form = {"until": f"{until:%Y-%m-%dT%H:%M}", "reason": "migration"}
    admin_client.post(f"{PAGE}{one.pk}/disable/", form)
    page = admin_client.get(f"{PAGE}{one.pk}/change/").content.decode()
    cron.fire_due(until - timedelta(minutes=5))
    one.refresh_from_db()
    enabled_before = one.enabled
    cron.fire_due(until + timedelta(minutes=1))
    one.refresh_from_db()

    assert "migration" in page
    assert f"Disabled until {until:%Y-%m-%d %H:%M} UTC: earlier runs do not take place." in page
    assert not enabled_before
    assert one.enabled
    assert one.next_fire_at is not None
    assert one.next_fire_at > until
    assert not one.firings.exists()
    assert [(a.actor, a.verb) for a in OperatorAction.objects.order_by("id")] == [
        ("user:admin", "disabled"),
        ("scheduler", "enabled"),
    ]


@pytest.mark.parametrize(
    ("until", "fault"),
    [("2020-01-01T00:00", "2020-01-01 00:00 CET is in the past"), ("9998-12-31T23:59", "more than ten years ahead")],
)
def test_a_past_time_disables_nothing(admin_client: Client, until: str, fault: str) -> None:
    """Either form reports it, and the task stays as it is."""
    one = task()
    admin_client.cookies["zone"] = "Europe/Berlin"
    day, _, hour = until.partition("T")
    asked = {"disabled_until_0": day, "disabled_until_1": hour, "enabled": ""}
    pages = [
        admin_client.post(f"{PAGE}{one.pk}/disable/", {"until": until}, follow=True),
        admin_client.post(f"{PAGE}{one.pk}/change/", form_of(one, **asked)),
    ]

    one.refresh_from_db()
    assert all(fault in page.content.decode() for page in pages)
    assert one.enabled
    assert one.disabled_until is None


def test_run_now_leaves_the_schedule_alone(admin_client: Client, redis: Redis) -> None:
    """The job has the person and the reason; the run is manual; the next one stays."""
    one = task()
    page = admin_client.post(f"{PAGE}{one.pk}/run-now/", {"reason": "it could not wait"}, follow=True)

    assert "Job submitted: Event expiration." in page.content.decode()
    job = Job.objects.get()
    entry = job.audit_trail.get()
    firing = one.firings.get()
    assert (entry.actor, entry.reason) == ("user:admin", "it could not wait")
    assert (firing.outcome, firing.job_id, firing.actor) == (FiringOutcome.BY_HAND, job.pk, "user:admin")
    assert CronTask.objects.get(pk=one.pk).next_fire_at == one.next_fire_at


@pytest.mark.parametrize(
    ("misfire", "outcomes"),
    [(Misfire.SKIP, [("missed", 3)]), (Misfire.ONCE, [("late", 2)]), (Misfire.ALL, [("late", 0)] * 3)],
)
def test_missed_runs_are_listed_in_the_history(
    admin_client: Client, redis: Redis, misfire: Misfire, outcomes: list[tuple[str, int]]
) -> None:
    """Whatever the policy does about them."""
    one = task(misfire=misfire, expression="0 0 1 * *")
    third_back = timezone.now() - timedelta(days=75)
    while len(cron.next_firings(one, third_back, 4)) and cron.next_firings(one, third_back, 4)[3] < timezone.now():
        third_back += timedelta(days=1)
    while cron.next_firings(one, third_back, 3)[2] > timezone.now():
        third_back -= timedelta(days=1)
    CronTask.objects.filter(pk=one.pk).update(next_fire_at=cron.next_fire(one, third_back))
    CronTask.objects.exclude(pk=one.pk).delete()
    cron.fire_due(timezone.now())
    page = admin_client.get(f"{PAGE}{one.pk}/change/").content.decode()

    assert [(f.outcome, f.missed) for f in one.firings.order_by("id")] == outcomes
    assert ("missed before, not run" in page) == (misfire != Misfire.ALL)


def test_the_history_is_bounded(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest runs of each task stay."""
    monkeypatch.setattr(cron, "KEPT", 2)
    one, other = task(), task(name="other")
    for _ in range(4):
        cron_tasks.run_now(one, actor="test")
    cron_tasks.run_now(other, actor="test")
    newest = set(one.firings.order_by("-id").values_list("id", flat=True)[:2])
    cron.trim_history()

    assert set(one.firings.values_list("id", flat=True)) == newest
    assert other.firings.count() == 1


def test_a_viewer_sees_but_may_not_act(client: Client, redis: Redis) -> None:
    """No button, and the server refuses each."""
    one = task()
    viewer = member(client, "Viewer")
    page = viewer.get(f"{PAGE}{one.pk}/change/")
    refused = [viewer.post(f"{PAGE}{one.pk}/{verb}/").status_code for verb in ("run-now", "enable", "disable")]
    viewer.post(f"{PAGE}{one.pk}/change/", form_of(one, expression="1 1 1 1 *"))

    assert page.status_code == 200
    assert "Run now" not in page.content.decode()
    assert "At the start of every hour" in page.content.decode()
    assert refused == [403, 403, 403]
    one.refresh_from_db()
    assert (one.expression, one.enabled) == ("0 * * * *", True)
    assert not Job.objects.exists()


@pytest.mark.parametrize("of_one", [False, True])
def test_pages_take_few_queries(client: Client, redis: Redis, of_one: bool) -> None:
    """Fewer than 16, however many tasks and firings are shown."""
    tasks = [task(name=f"task {n}") for n in range(5)]
    for one in tasks * 3:
        cron_tasks.run_now(one, actor="test")
    operator = member(client, "Operator")
    with count_queries() as queries:
        assert operator.get(f"{PAGE}{tasks[0].pk}/change/" if of_one else PAGE).status_code == 200

    assert len(queries) < 16, [q["sql"][:90] for q in queries]


def test_all_firings_that_are_kept_can_be_read(admin_client: Client, redis: Redis) -> None:
    """In pages; above them the share of jobs that succeeded, among those that ended."""
    one = task()
    ends = [State.SUCCEEDED, State.SKIPPED, State.DEAD, State.QUEUED]
    for state in ends:
        make_rows(state, 1)
    jobs = {job.state: job.pk for job in Job.objects.all()}
    now = timezone.now()
    CronFiring.objects.bulk_create(
        CronFiring(task=one, due_at=now, fired_at=now, outcome="on_time", actor="t", job_id=jobs.get(state or ""))
        for state in [*ends, *[None] * 41]
    )

    first = admin_client.get(f"{PAGE}{one.pk}/change/").context["history"]
    second = admin_client.get(f"{PAGE}{one.pk}/change/?before={first.older}").context["history"]
    third = admin_client.get(f"{PAGE}{one.pk}/change/?before={second.older}").context["history"]

    assert [len(page.firings) for page in (first, second, third)] == [20, 20, 5]
    assert (first.kept, first.ended, first.success_rate, third.older) == (45, 3, "66.7%", None)
    assert admin_client.get(f"{PAGE}{one.pk}/change/?before=x").context["history"].firings == first.firings


def test_a_task_that_does_not_fire_is_shown_as_overdue(admin_client: Client) -> None:
    """In the list and on its page."""
    one = task()
    CronTask.objects.filter(pk=one.pk).update(next_fire_at=timezone.now() - timedelta(minutes=5))

    for where in (PAGE, f"{PAGE}{one.pk}/change/"):
        assert "Is a scheduler running?" in admin_client.get(where).content.decode()


def test_a_new_task_has_no_type_until_one_is_chosen(admin_client: Client) -> None:
    """The first of them moves world time."""
    shown = admin_client.get(f"{PAGE}add/").content.decode()
    refused = admin_client.post(f"{PAGE}add/", form_of(CronTask(name="odd", expression="0 3 * * 1"), reason="why"))

    assert re.search(r'<select name="type"[^>]*><option value="" selected>', shown)
    assert "This field is required." in refused.content.decode()
    assert not CronTask.objects.filter(name="odd").exists()


def test_creating_and_deleting_a_task_is_audited(admin_client: Client) -> None:
    """With its name, by whom; its history goes with it."""
    form = form_of(CronTask(name="weekly", type="EVENT_EXPIRATION", expression="0 3 * * 1"), reason="mondays are quiet")
    admin_client.post(f"{PAGE}add/", form)
    one = CronTask.objects.get(name="weekly")
    cron_tasks.run_now(one, actor="test")
    asked = admin_client.get(f"{PAGE}{one.pk}/delete/").content.decode()
    admin_client.post(f"{PAGE}{one.pk}/delete/", {"post": "yes"})

    assert "Cron firings: 1" in asked
    assert "Cron firing: " not in asked  # each of them

    assert not CronTask.objects.filter(name="weekly").exists()
    assert not CronFiring.objects.exists()
    acts = [(a.actor, a.verb, a.target, a.reason) for a in OperatorAction.objects.order_by("id")]
    assert acts == [
        ("user:admin", "made", "cron task weekly", "mondays are quiet"),
        ("user:admin", "deleted", "cron task weekly", ""),
    ]


def test_only_an_attempt_has_a_duration() -> None:
    """Not a job that was cancelled, hours after it was last found to have to wait."""
    now = timezone.now()
    times = {"started_at": now - timedelta(hours=3), "finished_at": now}
    durations = {
        state: cron_page.Firing(CronFiring(due_at=now, fired_at=now), Job(state=state, **times)).duration
        for state in (State.DEAD, State.SUCCEEDED, State.CANCELLED)
    }

    assert durations == {State.DEAD: timedelta(hours=3), State.SUCCEEDED: timedelta(hours=3), State.CANCELLED: None}
