"""Pages and buttons follow permissions, and the server refuses everything else."""

import re
from functools import partial
from html import unescape
from typing import Any, Final

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from redis import Redis

from jobs import audit, counters, service
from jobs.broker.keys import WRITTEN_BY_HEALTH
from jobs.engine.worker import attempt
from jobs.errors import PermanentError
from jobs.models import CronTask, Job
from jobs.permissions import GROUPS
from jobs.service import Submission
from monitoring.models import AlertHandler
from ops.verbs import VERBS
from tests.support.addresses import addresses
from tests.support.people import JOBS, member

pytestmark = pytest.mark.django_db(transaction=True)
UNCHANGED_BY_LOOKING = ("sessions.session", "django_rq.queue")
WRITTEN_BY_ANY_REQUEST = (counters.KEY.encode(), WRITTEN_BY_HEALTH.encode())


def a_world() -> dict[str, Any]:
    """One of each thing, as the arguments that addresses name it by."""
    jobs = [
        service.submit(
            Submission(
                type="DEFERRED_EFFECT",
                campaign_id="c",
                payload={"effectId": f"e-{n}", "executeAt": timezone.now().isoformat()},
            ),
            actor="cron:event-expiration",
        )[0]
        for n in range(2)
    ]
    claimed = attempt.claim([str(jobs[0].pk)], worker="w", now=jobs[0].created_at)
    attempt.record(
        [attempt.ending_of(claimed[0], PermanentError("broken"), 1.0, now=timezone.now())], actor="worker:w", worker="w"
    )
    for target in (User.objects.create_user("zed"), AlertHandler.objects.create(name="ops", kind="log")):
        link = reverse(f"admin:{target._meta.app_label}_{target._meta.model_name}_change", args=[target.pk])
        audit.record(actor="user:ann", verb="changed", target=f"the {target}", link=link)
    return {"job": str(jobs[1].pk), "task": str(CronTask.objects.order_by("pk")[0].pk)}


def closed_addresses(known: dict[str, Any]) -> list[str]:
    """The addresses that are not for everybody."""
    return sorted(set(addresses(known)) - {reverse(f"admin:{name}") for name in ("login", "logout", "jsi18n")})


def all_rows() -> dict[str, list[Any]]:
    """All rows of all tables, but those that looking writes."""
    return {
        model._meta.label_lower: list(model._base_manager.order_by("pk").values())
        for model in apps.get_models()
        if model._meta.managed and model._meta.label_lower not in UNCHANGED_BY_LOOKING
    }


@pytest.mark.parametrize("data", [{}, {"reason": "x", "confirmed": "1", "post": "yes", "_selected_action": "all"}])
def test_no_post_of_a_viewer_changes_anything(client: Client, redis: Redis, data: dict[str, str]) -> None:
    """Every URL takes a POST; no table and no Redis key differs afterwards."""
    known = a_world()
    viewer = member(client, "Viewer")
    targets = sorted(set(addresses(known)) - {reverse("admin:logout"), reverse("admin:password_change")})
    before, keys = all_rows(), {*redis.keys("*"), *WRITTEN_BY_ANY_REQUEST}
    for address in targets:
        for verb in VERBS if address == JOBS else ("run_now",):
            sent = {**data, "action": verb, "resume": "campaign:c", "pause": "1", "what": "queue:high"}
            assert viewer.post(address, sent).status_code < 500, address

    assert len(targets) > 40
    assert {name: rows for name, rows in all_rows().items() if rows != before[name]} == {}
    assert {*redis.keys("*"), *WRITTEN_BY_ANY_REQUEST} == keys


def test_visitors_are_sent_to_the_login(client: Client, redis: Redis) -> None:
    """From every address, or it is refused."""
    for address in closed_addresses(a_world()):
        assert client.get(address).status_code in (302, 401, 403, 404), address


def shape_of(address: str, *, values: bool) -> str:
    """What addresses of one kind of page have in common, with the first filter; without `values`, all of its values."""
    kind = re.split("&|_changelist_filters=", address)[0]
    kind = kind if values else re.sub("=.*|(?<=/)[A-Z_]{4,}", "", kind)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[-.0-9]+", "#", kind)


#: What `seen_on` looks for; a parser takes as long as the service took for the page.
_TAG: Final = re.compile(r"""<(/?)(a|form|button|input)\b((?:[^>"']++|"[^"]*+"|'[^']*+')*+)>""")
_ATTRIBUTE: Final = re.compile(r"""([^\s"'=/]+)(?:=(?:"([^"]*)"|'([^']*)'))?""")


def links_and_forms(page: str) -> tuple[set[str], set[str]]:
    """The links of a page, and its forms that change something by a button of their own."""
    links, forms, form = set[str](), set[str](), ""
    for closes, tag, attributes in _TAG.findall(page):
        given = {name: unescape(one or other) for name, one, other in _ATTRIBUTE.findall(attributes)}
        if closes:
            form = "" if tag == "form" else form
        elif tag == "a" and given.get("href", "").startswith(("/admin", "?")) and "download" not in given:
            links.add(given["href"])
        elif tag == "form":
            changes = given.get("method", "").lower() == "post"
            form = (given.get("action") or given.get("id") or "?") if changes else ""
        elif form and given.get("type", "submit" if tag == "button" else "") == "submit":
            forms.add(form)
    return links, forms


@pytest.mark.parametrize("group", ["Viewer", "Operator", "Administrator"])
def test_every_link_shown_can_be_followed(client: Client, redis: Redis, group: str) -> None:
    """From the start page, as far as links lead. A viewer is offered no form that acts.

    An administrator, who sees all links, follows each job type and value of a filter; others one of each.
    Every other address answers with a page, a redirect or a refusal, never with a fault.
    """
    known = a_world()
    somebody = member(client, group)
    left, seen, forms = ["/admin/"], set[str](), set[str]()
    shape_for = partial(shape_of, values=group == "Administrator")
    while left:
        address = left.pop()
        shape = shape_for(address)
        if shape in seen or "logout" in address:
            continue
        seen.add(shape)
        answer = somebody.get(address, follow=True)
        assert answer.status_code == 200, f"{address} answers {answer.status_code}"
        if "html" in answer.get("Content-Type", ""):
            links, acting = links_and_forms(answer.content.decode())
            path = answer.wsgi_request.path
            left += sorted(link if link.startswith("/") else f"{path}{link}" for link in links)
            forms |= {f"{path} {form}" for form in acting if "logout" not in form}

    for address in closed_addresses(known):
        if shape_for(address) not in seen:
            assert somebody.get(address).status_code in (200, 302, 403, 404, 405), address

    assert 170 > len(seen) > (30 if group != "Viewer" else 20)
    if group == "Viewer":
        assert {form for form in forms if "password_change" not in form} == set()


def test_each_verb_has_its_own_permission(client: Client, redis: Redis) -> None:
    """A user who may only retry sees that one button, and the server does nothing else for them."""
    known = a_world()
    dead = Job.objects.exclude(pk=known["job"]).get()
    person = User.objects.create_user("rita", is_staff=True)
    person.user_permissions.set(
        Group.objects.get(name="Operator").permissions.filter(codename__in=("view_job", "retry_job"))
    )
    client.force_login(person)
    page = client.get(f"{JOBS}{dead.pk}/change/")
    client.post(JOBS, {"action": "cancel", "_selected_action": known["job"], "confirmed": "1"})
    client.post(JOBS, {"action": "retry", "_selected_action": str(dead.pk), "confirmed": "1"})

    assert [verb.name for verb in page.context["verbs"]] == ["retry"]
    assert Job.objects.get(pk=known["job"]).state == "QUEUED"
    assert Job.objects.get(pk=dead.pk).state == "QUEUED"


def test_each_group_includes_the_one_before() -> None:
    """Whoever is paged may act; only the last manages handlers and users."""
    held = {g.name: {p.codename for p in g.permissions.all()} for g in Group.objects.all()}

    assert held["Viewer"] < held["Operator"] < held["Administrator"]
    assert set(GROUPS) == set(held)
    assert held["Operator"] > {"acknowledge_alerts", "control_breaker", "export_jobs"}
    for governing in ("manage_alerts", "change_user"):
        assert governing in held["Administrator"]
        assert governing not in held["Operator"]
