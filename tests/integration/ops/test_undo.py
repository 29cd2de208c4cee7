"""Undo on the pages: offered after every action while it can be done, and the trail says what was done."""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import actions, pauses, service
from jobs.engine.worker import attempt
from jobs.models import AuditEntry, Job, JobAction, OperatorAction, Pause
from jobs.states import State
from monitoring.alerting import dead_letters
from ops import undo
from tests.support.actions import TRAIL, confirm, effects
from tests.support.people import JOBS, member, some

pytestmark = pytest.mark.django_db(transaction=True)
UNDO = re.compile(r'<form method="post" action="([^"]+/undo/[^"]*)"')
LATER = "2031-01-02T03:04:05"


def press(client: Client, page: str) -> str:
    """Press the first Undo of a page; the page that follows."""
    found = UNDO.search(page)
    assert found, "no Undo is offered"
    return str(client.post(found[1], {"back": TRAIL}, follow=True).content.decode())


def states() -> list[tuple[str, Any]]:
    return list(Job.objects.order_by("pk").values_list("state", "due_at"))


@pytest.mark.parametrize(
    ("verb", "more"),
    [("cancel", {}), ("reschedule", {"due_at": LATER}), ("run_now", {})],
)
def test_a_bulk_action_is_undone_by_its_message(
    admin_client: Client, redis: Redis, verb: str, more: dict[str, str]
) -> None:
    """All its jobs go back at once, and a second press changes nothing."""
    jobs = some(3)
    before = states()

    page = confirm(admin_client, verb, jobs, reason="a feast", **more)
    undone = press(admin_client, page)

    assert states() == before
    assert "Undone for 3 jobs." in undone
    again = press(admin_client, page)
    left = "moved since" if verb == "reschedule" else "scheduled by now"  # as it left them, but by another move
    assert f"Undone for 0 jobs. 3 were not changed: 3 {left}." in again
    assert states() == before


@pytest.mark.parametrize(("verb", "offered"), [("cancel", True), ("run_now", False)])
def test_what_cannot_be_undone_says_so(admin_client: Client, redis: Redis, verb: str, offered: bool) -> None:
    """An early run of an effect: in one sentence, without a button, in the message, the trail and the action's page."""
    jobs = effects(2)

    page = confirm(admin_client, verb, jobs)
    action = JobAction.objects.get()

    for shown in (page, admin_client.get(f"{TRAIL}actions/{action.pk}/").content.decode()):
        assert ("It cannot be undone for effects and events" in shown) == (not offered)
        assert bool(UNDO.search(shown)) == offered
    assert bool(UNDO.search(admin_client.get(TRAIL).content.decode())) == offered


def test_an_undo_says_how_many_had_moved_on(admin_client: Client, redis: Redis) -> None:
    jobs = some(3)
    page = confirm(admin_client, "run_now", jobs)
    attempt.claim([str(jobs[0].pk)], worker="w", now=timezone.now())

    undone = press(admin_client, page)

    assert "Undone for 2 jobs. 1 was not changed: 1 running by now." in undone


def test_the_page_of_a_job_undoes_it_alone(admin_client: Client, redis: Redis) -> None:
    """Of a bulk action the other jobs stay as they are; a cancelled job has Restore instead."""
    first, second = some(2)
    due = first.due_at
    confirm(admin_client, "reschedule", [first, second], due_at=LATER)

    page = admin_client.get(f"{JOBS}{first.pk}/change/").content.decode()
    assert "admin rescheduled it" in page
    url = UNDO.search(page)
    assert url
    admin_client.post(url[1], {"job": str(first.pk)})

    assert Job.objects.get(pk=first.pk).due_at == due
    assert Job.objects.get(pk=second.pk).due_at.year == 2031
    confirm(admin_client, "cancel", [first])
    page = admin_client.get(f"{JOBS}{first.pk}/change/").content.decode()
    assert ("Restore…" in page, UNDO.search(page)) == (True, None)


def test_a_restored_job_that_is_due_by_now_says_so(admin_client: Client, redis: Redis) -> None:
    jobs = some(2)
    confirm(admin_client, "cancel", jobs)
    Job.objects.filter(pk=jobs[0].pk).update(due_at=timezone.now() - timedelta(minutes=5))

    page = confirm(admin_client, "restore", jobs)

    assert "2 jobs restored. 1 is due by now and starts as soon as a worker is free." in page


def test_a_submission_is_undone(admin_client: Client, redis: Redis) -> None:
    """It is cancelled; nobody typed a reason, and none is shown."""
    form = {"campaign_id": "c-1", "due_at": LATER}
    page = admin_client.post(f"{JOBS}add/?type=EVENT_EXPIRATION", form, follow=True).content.decode()
    assert "in the admin" not in admin_client.get(TRAIL).content.decode()

    press(admin_client, page)

    assert Job.objects.get().state == State.CANCELLED


@pytest.mark.parametrize("permitted", [True, False])
@pytest.mark.parametrize(
    ("verb", "permission"),
    [
        ("cancel", "cancel_job"),
        ("reschedule", "reschedule_job"),
        ("run_now", "run_now_job"),
        ("discard", "discard_job"),
    ],
)
def test_whoever_may_do_it_may_undo_it(
    client: Client, redis: Redis, verb: str, permission: str, permitted: bool
) -> None:
    """Nobody else: no button, and a refusal."""
    jobs = some(1)
    if verb == "discard":
        Job.objects.update(state=State.DEAD)
    commands: dict[str, Callable[..., Any]] = {
        "cancel": service.cancel,
        "run_now": service.run_now,
        "discard": service.discard,
        "reschedule": partial(service.reschedule, due_at=timezone.now() + timedelta(days=1)),
    }
    action = actions.begin(verb, actor="user:ann")
    commands[verb](list(Job.objects.filter(pk=jobs[0].pk)), actor="user:ann", reason="", action=action)
    actions.count(action, moved=1, skipped=0)
    viewer = member(client, "Viewer")
    if permitted:
        User.objects.get(username="bob").user_permissions.add(Permission.objects.get(codename=permission))

    page = viewer.get(TRAIL).content.decode()
    answer = viewer.post(f"{TRAIL}actions/{action.pk}/undo/")

    assert bool(UNDO.search(page)) == permitted
    assert answer.status_code == (302 if permitted else 403)
    assert AuditEntry.objects.filter(actor="user:bob").exists() == permitted


def test_undo_is_a_post_with_a_token(admin_client: Client, redis: Redis) -> None:
    """No link, and no foreign page, undoes anything."""
    confirm(admin_client, "cancel", some(1))
    url = f"{TRAIL}actions/{JobAction.objects.get().pk}/undo/"
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies

    assert admin_client.get(url).status_code == 405
    assert strict.post(url).status_code == 403
    assert Job.objects.get().state == State.CANCELLED
    answer = admin_client.post(url, {"back": "https://example.org/"})
    assert answer["Location"].startswith(TRAIL)


def test_pausing_and_resuming_are_undone_as_it_was(admin_client: Client, redis: Redis) -> None:
    """A pause with its end and reason; one that replaced another brings that back."""
    until = timezone.now() + timedelta(hours=3)
    pauses.pause("queue", "low", until=until, actor="user:ann", reason="quiet")
    page = admin_client.post("/admin/jobs/pause/", {"resume": "queue:low"}, follow=True).content.decode()
    press(admin_client, page)
    assert [(p.until, p.reason, p.actor) for p in pauses.active()] == [(until, "quiet", "user:admin")]

    form = {"pause": "1", "what": "queue:low", "reason": "longer", "replaces": str(pauses.active()[0].pk)}
    page = admin_client.post("/admin/jobs/pause/", form, follow=True).content.decode()
    press(admin_client, page)
    assert [(p.until, p.reason) for p in pauses.active()] == [(until, "quiet")]

    late = press(admin_client, page)
    assert "Nothing was undone" in late
    assert Pause.objects.count() == 4


def test_the_trail_undoes_a_pause_that_is_the_latest(admin_client: Client, redis: Redis) -> None:
    """An earlier one of the same queue offers nothing any more."""
    pauses.pause("queue", "low", actor="user:ann")
    pauses.resume("queue", "low", actor="user:ann")
    pauses.pause("queue", "low", actor="user:ann")

    page = admin_client.get(TRAIL).content.decode()

    assert UNDO.findall(page) == [f"/admin/jobs/pause/{OperatorAction.objects.latest('id').undo.join(['undo/', '/'])}"]
    press(admin_client, page)
    assert pauses.active() == []


def test_a_dead_letter_that_is_restored_is_no_new_one(admin_client: Client, redis: Redis) -> None:
    """It was counted, and people were told, when it failed."""
    jobs = some(1)
    Job.objects.update(state=State.DEAD)
    confirm(admin_client, "discard", jobs)

    confirm(admin_client, "restore", jobs)

    assert Job.objects.get().state == State.DEAD
    assert not dead_letters.unseen(timezone.now() - timedelta(hours=1)).exists()


def test_many_jobs_take_several_presses(admin_client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes on where the last ended."""
    monkeypatch.setattr(undo, "STEP", 2)
    monkeypatch.setattr(undo, "MOST_AT_ONCE", 4)
    page = confirm(admin_client, "cancel", some(5))

    first, second = press(admin_client, page), press(admin_client, page)

    assert "Undone for 4 jobs. Press Undo again for the rest." in first
    assert "Undone for 1 job. 4 were not changed: 4 scheduled by now." in second
    assert {state for state, _ in states()} == {State.SCHEDULED}
