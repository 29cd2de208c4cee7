"""Submitting a job by a form made from its type's declaration, copying a job, and the export."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from django import forms
from django.db import connection
from django.test import Client
from django.utils import timezone
from msgspec import Meta
from psutil import Process
from redis import Redis

from jobs import calendars, service
from jobs.models import CampaignClock, Job, OperatorAction
from jobs.registry import WORLD_TIME, Payload, all_types, type_named
from jobs.service import Submission
from jobs.world.calendars.examples import LANTERN
from ops.admin import payload_form
from tests.support.people import JOBS, member, some

pytestmark = pytest.mark.django_db(transaction=True)
ADD = f"{JOBS}add/"


def test_the_form_has_the_declared_fields(admin_client: Client, redis: Redis) -> None:
    """A text, an enum and a time, each with its own widget; no JSON."""
    effect = payload_form.fields_of(type_named("DEFERRED_EFFECT"))
    growth = payload_form.fields_of(type_named("SETTLEMENT_GROWTH"))
    page = admin_client.get(f"{ADD}?type=SETTLEMENT_GROWTH").content.decode()

    assert isinstance(effect["executeAt"], forms.DateTimeField)
    assert isinstance(growth["settlementId"], forms.CharField)
    assert [value for value, _ in growth["growthType"].choices] == [  # type: ignore[attr-defined]
        "POPULATION_GROWTH",
        "RESOURCE_GENERATION",
        "LEVEL_UP_CHECK",
    ]
    assert 'name="settlementId"' in page
    assert "<textarea" not in page


def test_the_form_opens_on_what_people_submit(admin_client: Client, redis: Redis) -> None:
    """Not on the first type by name; a campaign in the address is filled in, for each type."""
    context = admin_client.get(ADD, {"campaign": "c&1"}).context

    assert context["declared"].name == "DEFERRED_EFFECT"
    assert [tab["name"] for tab in context["tabs"] if tab["active"]] == ["Deferred effect"]
    assert context["form"]["campaign_id"].value() == "c&1"
    assert all(tab["query"].endswith("&campaign=c%261") for tab in context["tabs"])


def test_a_world_time_is_typed_in_the_campaign_s_calendar() -> None:
    """As people write it, or as ISO 8601; the payload holds ISO 8601, and a wrong one is named by its part."""

    class Rest(Payload, frozen=True, kw_only=True):
        to: Annotated[str, Meta(max_length=40, description="When it ends.", extra_json_schema=WORLD_TIME)]
        then: Annotated[str, Meta(max_length=40, extra_json_schema=WORLD_TIME)] | None = None

    fields = payload_form.fields_of(type("Declared", (), {"payload": Rest}))  # type: ignore[arg-type]
    typed = {"to": "9 Seedrise 1492 LC, 06:00", "then": "1492-03-06T06:00Z"}
    read, faults = payload_form.read_world_times(fields, typed, LANTERN)
    _, wrong = payload_form.read_world_times(fields, {"to": "9 Smarch 1492"}, LANTERN)

    assert (read, faults) == ({"to": "1492-03-05T06:00:00.000Z", "then": "1492-03-06T06:00:00.000Z"}, {})
    assert wrong["to"].startswith("month: 'Smarch' is none of Emberwake")
    assert [field.required for field in fields.values()] == [True, False]
    assert fields["to"].help_text == "When it ends. In the campaign's calendar, or ISO 8601."


def test_an_advance_is_typed_in_the_campaign_s_calendar(admin_client: Client, redis: Redis) -> None:
    """The payload holds ISO 8601, titles say it as it was typed, and what is no date stands under its field."""
    odd = replace(LANTERN.months[2], name="Seed{0}rise")
    months = (*LANTERN.months[:2], odd, *LANTERN.months[3:])
    calendars.set_own("c-1", replace(LANTERN, months=months), actor="test", reason="")
    add = f"{ADD}?type=ADVANCE_WORLD_TIME"
    wrong = admin_client.post(add, {"campaign_id": "c-1", "to": "9 Smarch 1492"})
    admin_client.post(add, {"campaign_id": "c-1", "to": "9 Seed{0}rise 1492 LC, 06:00"})

    assert "Smarch" in wrong.context["form"].errors["to"][0]
    job = Job.objects.get()
    pages = [admin_client.get(url).content.decode() for url in (JOBS, f"{JOBS}{job.pk}/change/")]
    assert job.payload["to"] == "1492-03-05T06:00:00.000Z"
    for page in pages:
        assert "dvance world time to 9 Seed{0}rise 1492 LC, 06:00" in page


def test_every_kind_of_field_round_trips() -> None:
    """Anything a payload may hold can be entered, also what no type has today."""

    class Everything(Payload, frozen=True, kw_only=True):
        a_number: Annotated[int, Meta(ge=1)]
        a_share: float
        a_switch: bool = False
        a_note: str | None = None
        a_list: list[str] = []

    class Filled(forms.Form):
        pass

    declared = type("Declared", (), {"payload": Everything})
    form = Filled({"aNumber": "3", "aShare": "0.5", "aSwitch": "on", "aNote": "", "aList": '["x"]'})
    form.fields |= payload_form.fields_of(declared)  # type: ignore[arg-type]

    assert form.is_valid(), form.errors
    assert payload_form.as_json(form.cleaned_data) == {
        "aNumber": 3,
        "aShare": 0.5,
        "aSwitch": True,
        "aList": ["x"],
    }


def test_a_due_time_is_read_in_the_user_s_time_zone(admin_client: Client, redis: Redis) -> None:
    """08:00 typed in Berlin in summer is 06:00 UTC."""
    admin_client.cookies["zone"] = "Europe/Berlin"
    year = timezone.now().year + 1
    form = {"campaign_id": "c-1", "effectId": "effect-1-1", "executeAt": f"{year}-07-01T08:00", "reason": "a feast"}

    answer = admin_client.post(f"{ADD}?type=DEFERRED_EFFECT", form)

    job = Job.objects.get()
    assert answer.url == f"{JOBS}{job.pk}/change/"  # type: ignore[attr-defined]
    assert job.due_at == datetime(year, 7, 1, 6, tzinfo=UTC)
    assert job.payload["effectId"] == "effect-1-1"
    assert job.audit_trail.get().reason == "a feast"
    assert len(job.request_id) == 32


@pytest.mark.parametrize(
    ("kind", "filled", "field"),
    [
        ("DEFERRED_EFFECT", {"campaign_id": "c", "effectId": "e", "executeAt": "9000-01-01T00:00"}, "executeAt"),
        ("DEFERRED_EFFECT", {"campaign_id": "c", "effectId": "e", "executeAt": "soon"}, "executeAt"),
        ("SETTLEMENT_GROWTH", {"campaign_id": "c", "settlementId": "s", "growthType": "SHRINK"}, "growthType"),
        ("SETTLEMENT_GROWTH", {"settlementId": "s", "growthType": "LEVEL_UP_CHECK"}, "campaign_id"),
        (
            "SETTLEMENT_GROWTH",
            {"campaign_id": "c", "settlementId": "s" * 256, "growthType": "LEVEL_UP_CHECK"},
            "settlementId",
        ),
        ("EVENT_EXPIRATION", {"due_at": "1999-01-01T00:00"}, "due_at"),
        ("EVENT_EXPIRATION", {"campaign_id": "c" * 256}, "campaign_id"),
    ],
)
def test_a_form_error_is_reported_under_its_field(
    admin_client: Client, redis: Redis, kind: str, filled: dict[str, str], field: str
) -> None:
    """Nothing is submitted, and the entered values stay."""
    answer = admin_client.post(f"{ADD}?type={kind}", filled)

    assert list(answer.context["form"].errors) == [field]
    assert not Job.objects.exists()


def test_a_copy_and_its_original_are_linked(admin_client: Client, redis: Redis) -> None:
    """The form is filled from the original; an unchanged copy is the same work, and says so."""
    due = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
    payload = {"effectId": "e-1", "executeAt": due.isoformat()}
    original, _ = service.submit(
        Submission(type="DEFERRED_EFFECT", campaign_id="c-1", payload=payload, priority=10), actor="test"
    )
    where = f"{ADD}?copy={original.pk}"
    form = admin_client.get(where).context["form"]
    same = {name: form[name].value() for name in form.fields if form[name].value()}
    same["executeAt"] = due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")

    again = admin_client.post(where, same, follow=True).content.decode()
    admin_client.post(where, {**same, "effectId": "e-2", "is_subject_meant": "on"})

    assert "An identical job already exists" in again
    copy = Job.objects.exclude(pk=original.pk).get()
    assert (copy.copy_of, copy.priority, copy.payload["effectId"]) == (original.pk, 10, "e-2")
    pages = [admin_client.get(f"{JOBS}{job.pk}/change/").context["job_page"] for job in (original, copy)]
    assert [(job.pk, job.task) for job in pages[0]["copies"]] == [(copy.pk, "Execute effect e-2")]
    assert pages[1]["original"].task == "Execute effect e-1"
    assert pages[1]["original"].pk == original.pk


def test_every_type_can_be_submitted_by_its_form(admin_client: Client, redis: Redis) -> None:
    """Each declared type's page answers."""
    for name in all_types():
        assert admin_client.get(f"{ADD}?type={name}").status_code == 200


def export(client: Client, kind: str, query: str = "") -> Any:
    """The file's text."""
    answer = client.get(f"{JOBS}export/{kind}/{query}")
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]


def test_the_export_matches_the_list(client: Client, redis: Redis) -> None:
    """As CSV and JSON, for an operator; no other job, and no cell that a spreadsheet would run."""
    some(3, campaign="=cmd()")
    some(2, campaign="c-2")
    operator = member(client, "Operator")
    rows = list(csv.DictReader(io.StringIO(export(operator, "csv", "?campaign_id__exact=%3Dcmd()").lstrip("\ufeff"))))
    jobs = json.loads(export(operator, "json", "?campaign_id__exact=c-2"))

    assert [row["campaign_id"] for row in rows] == ["'=cmd()"] * 3
    assert [job["campaign_id"] for job in jobs] == ["c-2"] * 2
    assert datetime.fromisoformat(jobs[0]["due_at"]).tzinfo is not None
    assert json.loads(export(operator, "json", "?state=DEAD")) == []
    assert export(operator, "json", "?q=export%2Fjson%2F+export/json/")
    assert OperatorAction.objects.latest("pk").link == f"{JOBS}?q=export%2Fjson%2F+export/json/"
    assert set(OperatorAction.objects.values_list("actor", "verb")) == {("user:bob", "exported")}


def test_exporting_needs_its_own_permission(client: Client, redis: Redis) -> None:
    """A viewer sees no link, and gets 403 that leads to who may."""
    some(1)
    viewer = member(client, "Viewer")

    refused = viewer.get(f"{JOBS}export/csv/")

    assert refused.status_code == 403
    assert "/admin/jobs/pause/roles/" in refused.content.decode()
    assert "Export CSV" not in viewer.get(JOBS).content.decode()


def test_exporting_10_000_jobs_takes_little_memory(admin_client: Client, redis: Redis) -> None:
    """It is streamed: some pages of rows at a time instead of tens of megabytes."""
    (model,) = some(1)
    postgresql = connection.vendor == "postgresql"
    others = [f.column for f in Job._meta.concrete_fields if f.column not in ("id", "unique_key")]
    columns = ", ".join(f'"{column}"' for column in others)
    key = "lpad(to_hex(i), 32, '0')::uuid" if postgresql else "printf('%%032x', i)"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
    copies = f"SELECT {key}, 'k' || i, {columns} FROM jobs_job, n WHERE jobs_job.unique_key = %s"  # noqa: S608 - names
    with connection.cursor() as cursor:
        cursor.execute(f"{numbers} INSERT INTO jobs_job (id, unique_key, {columns}) {copies}", [model.unique_key])
    pieces = admin_client.get(f"{JOBS}export/csv/").streaming_content  # type: ignore[attr-defined]
    before = Process().memory_info().rss
    lines = sum(piece.count(b"\n") for piece in pieces)

    assert lines == 10_002
    assert Process().memory_info().rss - before < 6_000_000


@pytest.mark.parametrize(
    ("kind", "filled", "field"),
    [
        ("EVENT_EXPIRATION", {"campaign_id": "c"}, "due_at"),
        ("DEFERRED_EFFECT", {"campaign_id": "c", "effectId": "effect-1-1"}, "executeAt"),
    ],
)
def test_a_time_in_the_past_is_confirmed_first(
    admin_client: Client, redis: Redis, kind: str, filled: dict[str, str], field: str
) -> None:
    """The question appears with the error; without a time, or with one to come, nothing is asked."""
    past = {**filled, field: "2026-01-01T00:00"}

    asked = admin_client.post(f"{ADD}?type={kind}", past)

    assert list(asked.context["form"].errors) == [field]
    assert 'type="checkbox"' in str(asked.context["form"]["is_past_meant"])
    assert not Job.objects.exists()
    assert admin_client.post(f"{ADD}?type={kind}", {**past, "is_past_meant": "on"}).status_code == 302
    assert Job.objects.get().due_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_error_texts_keep_their_case(admin_client: Client, redis: Redis) -> None:
    """They name fields and constants."""
    answer = admin_client.post(f"{ADD}?type=ADVANCE_WORLD_TIME", {"campaign_id": "c", "until": "TIME_OF_DAY"})

    assert "TIME_OF_DAY needs a time" in answer.content.decode()


def test_rescheduling_into_the_past_is_confirmed_first(admin_client: Client, redis: Redis) -> None:
    due = timezone.now() + timedelta(hours=1)
    job, _ = service.submit(Submission(type="EVENT_EXPIRATION", campaign_id="c", payload={}, due_at=due), actor="test")
    form = {"action": "reschedule", "_selected_action": [str(job.pk)], "confirmed": "1", "due_at": "2026-01-01T00:00"}

    asked = admin_client.post("/admin/jobs/job/", form)
    job.refresh_from_db()
    assert (asked.status_code, job.due_at) == (200, due)

    assert admin_client.post("/admin/jobs/job/", {**form, "is_past_meant": "on"}).status_code == 302
    job.refresh_from_db()
    assert job.due_at < timezone.now()


def test_a_campaign_may_be_named_and_an_unknown_one_is_confirmed(admin_client: Client, redis: Redis) -> None:
    """Two of one name, or none of this ID: nothing is guessed."""
    for pk, name in (("c-1", "Northmarch"), ("c-2", "Twin"), ("c-3", "Twin")):
        CampaignClock.objects.create(campaign_id=pk, name=name)
    url = f"{ADD}?type=EVENT_EXPIRATION"

    assert admin_client.post(url, {"campaign_id": "Northmarch"}).status_code == 302
    assert Job.objects.get().campaign_id == "c-1"
    for given in ("Twin", "c-9"):
        asked = admin_client.post(url, {"campaign_id": given})
        assert list(asked.context["form"].errors) == ["campaign_id"]
        assert 'type="checkbox"' in str(asked.context["form"]["is_unknown_meant"])
    assert admin_client.post(url, {"campaign_id": "c-9", "is_unknown_meant": "on"}).status_code == 302
    assert set(Job.objects.values_list("campaign_id", flat=True)) == {"c-1", "c-9"}
