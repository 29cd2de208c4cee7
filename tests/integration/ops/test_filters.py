"""Filters fail closed: one that cannot be read, or whose object is gone, matches nothing in any list."""

import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import QueryDict
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from redis import Redis

from jobs.models import CronTask, Job, ScheduleRow, WorldAdvance
from jobs.states import State
from monitoring import alerting
from monitoring.models import AlertHandler, Delivery
from ops.admin.filtered_list import FilteredList
from tests.support.people import JOBS, some

pytestmark = pytest.mark.django_db(transaction=True)
ACROSS = {"action": "cancel", "_selected_action": "all", "select_across": "1"}


def lists() -> list[Any]:
    """The admins of all lists of Django's with filters, once the addresses have loaded them."""
    reverse("admin:index")
    found = [admin.site.get_model_admin(model) for model in apps.get_models() if admin.site.is_registered(model)]
    return [one for one in found if one.list_filter]


def open_list(model_admin: Any, query: str, method: str = "get") -> Any:
    """The list as its page has it."""
    request = getattr(RequestFactory(), method)("/admin/")
    request.META["QUERY_STRING"] = query
    request.user = User(username="root", is_superuser=True, is_active=True)
    return model_admin.get_changelist_instance(request)


def fill() -> None:
    """A row for every list with filters."""
    some(2)
    alerting.critical("down")
    handler = AlertHandler.objects.create(name="log", kind="log", config={}, secrets={})
    Delivery.objects.create(handler=handler, handler_name="log", handler_kind="log", action="test")
    User.objects.create_user("ann")
    assert CronTask.objects.exists()
    ScheduleRow.objects.create(
        campaign_id="c-1", entity_type="Settlement", entity_id="s-1", event_type="E", interval=timedelta(hours=1)
    )


#: What each parameter reads as any text: it is compared with a column, and so matches nothing.
BY_COLUMN = {"campaign_id__exact", "worker__exact"}


def test_a_filter_that_cannot_be_read_matches_nothing(redis: Redis) -> None:
    """In every list, by each parameter of each filter; a POST is refused with the filter's value, a page is empty."""
    fill()
    tried = set()
    for model_admin in lists():
        whole = open_list(model_admin, "")
        assert isinstance(whole, FilteredList), model_admin
        names = [str(name) for spec in whole.filter_specs for name in spec.expected_parameters()]
        hidden = [one.parameter_name for one in model_admin.list_filter if hasattr(one, "parameter_name")]
        assert len(names) == len(set(names)), f"{model_admin}: a browser would send {names}"
        assert len(hidden) == len(set(hidden)), model_admin
        for name in {*names, *hidden} - {n for n in names if n.endswith("__isnull")}:
            for value in ("GONE", "424242"):
                tried.add(name)
                where = f"{name}={value}"
                assert not open_list(model_admin, where).queryset.exists(), (model_admin, where)
                if name not in BY_COLUMN:
                    with pytest.raises(BadRequest, match=value):
                        open_list(model_admin, where, "post")
            if model_admin.model is Job:
                assert open_list(model_admin, f"{name}=").queryset.count() == 2, name

    assert tried >= {"advance", "failure", "waits", "due_at_to", "status", "handler__id__exact", "groups__id__exact"}


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("jobs_job", "state"),
        ("jobs_job", "type"),
        ("jobs_job", "waits"),
        ("jobs_job", "from"),
        ("jobs_job", "advance"),
        ("jobs_crontask", "enabled__exact"),
        ("jobs_campaignclock", "is_active__exact"),
        ("jobs_schedulerow", "clock__exact"),
        ("jobs_schedulerow", "event_type"),
        ("auth_user", "groups__id__exact"),
        ("monitoring_alert", "status"),
        ("monitoring_alert", "severity__exact"),
        ("monitoring_delivery", "status__exact"),
        ("monitoring_delivery", "handler__id__exact"),
        ("jobs_upcoming", "type"),
        ("jobs_upcoming", "source"),
    ],
)
def test_every_filter_says_that_its_value_is_unknown(
    admin_client: Client, redis: Redis, name: str, parameter: str
) -> None:
    """Chosen in the filter, so that it can be cleared, and named where nothing matches; in no other list."""
    fill()
    url = reverse(f"admin:{name}" if name == "jobs_upcoming" else f"admin:{name}_changelist")
    page, plain = (admin_client.get(where).content.decode() for where in (f"{url}?{parameter}=424242", url))

    assert re.search(r"Unknown value in a filter: [\w ]+: 424242\.", page)
    if parameter != "state":  # its tabs
        assert re.search(r"(selected|bg-primary|font-semibold|checked)[^>]*>\s*(<[^>]*>\s*)*424242 \(unknown\)", page)
    assert "(unknown)" not in plain
    assert "Unknown value" not in plain


def make_advance(campaign: str) -> WorldAdvance:
    """An advance of a campaign's world time, and three jobs that came with it."""
    advance = WorldAdvance.objects.create(
        campaign_id=campaign, to_time="1001-01-01T00:00:00Z", source="seen", request_id="r" * 32
    )
    Job.objects.filter(pk__in=[job.pk for job in some(3, campaign=campaign)]).update(request_id="r" * 32)
    return advance


def test_what_retention_takes_between_dry_run_and_confirmation_does_not_widen_the_action(
    admin_client: Client, redis: Redis
) -> None:
    """The advance of three jobs is gone: none of the ten is cancelled, in one request or in steps."""
    advance = make_advance("c-1")
    some(7, campaign="c-2")
    where = f"{JOBS}?advance={advance.pk}"
    page = admin_client.post(where, ACROSS).content.decode()
    assert "3 will be cancelled." in page
    (until,) = re.findall(r'name="until" value="([^"]+)"', page)
    gone = advance.pk
    advance.delete()

    whole = admin_client.post(where, {**ACROSS, "confirmed": "1", "until": until})
    step = admin_client.post(where, {**ACROSS, "confirmed": "1", "until": until, "step": "1"})

    assert whole.status_code == step.status_code == 400
    assert f"advance: {gone}" in whole.content.decode()
    assert f"advance: {gone}" in step.json()["error"]
    assert not Job.objects.filter(state=State.CANCELLED).exists()
    listed = admin_client.get(where)
    assert listed.context["cl"].result_count == 0
    assert f"{gone} (unknown)" in listed.content.decode()


@pytest.mark.parametrize("where", ["advance=99", "failure=GONE", "waits=GONE", "due_at_to=yesterday", "nonsense=1"])
def test_an_export_of_a_filter_that_cannot_be_read_is_refused(admin_client: Client, redis: Redis, where: str) -> None:
    """It would have all jobs."""
    some(1)

    answer = admin_client.get(f"{JOBS}export/csv/?{where}")

    assert answer.status_code == 400
    assert "filter" in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "limit"), [("due_at_from", "2026-10-25T02:30:00+02:00"), ("due_at_to", "2026-10-25T02:30:00+01:00")]
)
def test_an_hour_that_the_clock_shows_twice_is_a_limit(
    admin_client: Client, redis: Redis, name: str, limit: str
) -> None:
    """From the first of them, or until the second."""
    admin_client.cookies["zone"] = "Europe/Berlin"

    answer: Any = admin_client.get(f"{JOBS}?{name}=2026-10-25T02:30")

    assert answer.status_code == 302
    assert QueryDict(answer.url.removeprefix("?")).dict() == {name: limit}
    with timezone.override(ZoneInfo("Europe/Berlin")):
        kept = open_list(admin.site.get_model_admin(Job), answer.url.removeprefix("?"))
        again = open_list(admin.site.get_model_admin(Job), f"{name}=2026-10-25T02:30")
        assert again.queryset.query.sql_with_params() == kept.queryset.query.sql_with_params()


def test_the_form_of_filters_sends_each_parameter_once(admin_client: Client, redis: Redis) -> None:
    """A second field of the same name would clear the first."""
    page = admin_client.get(f"{JOBS}?waits=BREAKER").content.decode()

    names = re.findall(r'<(?:select|input)[^>]* name="(\w+)"', page.split('id="filter-form"')[1].split("</form>")[0])
    assert len(names) == len(set(names))
    assert "waits" in names


@pytest.mark.parametrize("name", ["monitoring_alert", "monitoring_delivery"])
def test_an_unknown_status_is_no_status(admin_client: Client, redis: Redis, name: str) -> None:
    """The page is empty, and an action on all of it is refused."""
    fill()
    url = reverse(f"admin:{name}_changelist")
    parameter = "status" if name.endswith("alert") else "handler__id__exact"

    assert admin_client.get(f"{url}?{parameter}=77").context["cl"].result_count == 0
    refused = admin_client.post(f"{url}?{parameter}=77", {**ACROSS, "action": "resolve"})
    assert refused.status_code == 400
    assert "77" in refused.content.decode()
