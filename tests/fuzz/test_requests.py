"""Whatever is sent over HTTP: headers, API bodies, forms and addresses are answered, never a fault."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from jobs.models import Job
from jobs.registry import all_types
from tests.fuzz.forms import Forms
from tests.fuzz.meter import METERS
from tests.fuzz.strategies import LATIN, LITERALS, TEXT
from tests.support.examples import examples
from tests.support.people import some
from tests.support.texts import JSON

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "secret-of-tests"
HEADERS = [
    "AUTHORIZATION",
    "X_REQUEST_ID",
    "COOKIE",
    "ACCEPT",
    "ACCEPT_LANGUAGE",
    "ACCEPT_ENCODING",
    "REFERER",
    "USER_AGENT",
    "X_FORWARDED_FOR",
    "X_FORWARDED_PROTO",
    "X_CSRFTOKEN",
    "IF_MODIFIED_SINCE",
    "IF_NONE_MATCH",
    "RANGE",
    "ORIGIN",
    "CONTENT_TYPE",
    "TRANSFER_ENCODING",
    "HX_REQUEST",
]
ADDRESSES = ["/health", "/health/live", "/health/ready", "/metrics", "/api/jobs", "/admin/login/", "/admin/", "/"]
LISTS = ["jobs/job", "jobs/auditentry", "jobs/crontask", "jobs/failuregroup", "jobs/campaignclock", "auth/user"]
FORMS = [
    *(f"jobs/job/add/?type={name}" for name in sorted(all_types())),
    "jobs/crontask/add/",
    "jobs/crontask/1/change/",
    "auth/user/add/",
    "auth/group/add/",
    "login/",
]
PARAMETERS = [
    "q",
    "p",
    "o",
    "e",
    "state",
    "state__exact",
    "type",
    "type__exact",
    "campaign",
    "campaign_id",
    "priority",
    "priority__exact",
    "due_at_from",
    "due_at_to",
    "finished_at_to",
    "failure",
    "worker",
    "source",
    "after",
    "before",
    "range",
    "since",
    "until",
    "page",
    "all",
    "_popup",
    "zone",
    "_changelist_filters",
    "actor",
    "job",
    "window",
]


def is_answered(answer: Any) -> bool:
    """Whether the status is no fault."""
    return bool(answer.status_code < 500)


@examples(8)
@given(
    address=st.sampled_from(ADDRESSES),
    headers=st.dictionaries(st.sampled_from(HEADERS), LATIN, max_size=5),
    method=st.sampled_from(["get", "post", "head", "options", "put", "delete"]),
)
def test_any_header_is_answered(redis: Redis, address: str, headers: dict[str, str], method: str) -> None:
    """At known and unknown URLs, with anything that HTTP headers can hold."""
    sent: dict[str, Any] = {
        name if name == "CONTENT_TYPE" else f"HTTP_{name}": value for name, value in headers.items()
    }
    with METERS.one("headers"):
        answer = Client().generic(method.upper(), address, b"{}", **sent)

    is_probe = address.startswith("/health")  # it may say that something is slow on a busy machine
    assert is_answered(answer) or (is_probe and answer.status_code == 503), (address, headers)


_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from([*sorted(all_types()), "NOTHING"]) | JSON,
    "campaignId": TEXT | JSON,
    "payload": st.dictionaries(
        st.sampled_from(["effectId", "executeAt", "settlementId", "growthType", "structureId", "eventType"]),
        TEXT | JSON,
    )
    | JSON,
    "priority": st.sampled_from(["LOW", "CRITICAL", 1, 5, 8, 10, True]) | JSON,
    "dueAt": st.datetimes().map(lambda at: f"{at.isoformat()}Z") | TEXT | JSON,
    "reason": TEXT | JSON,
}
_BODIES = st.one_of(
    st.fixed_dictionaries({}, optional=_FIELDS).map(lambda body: json.dumps(body).encode()),
    st.builds(lambda text: f'{{"type": "EVENT_EXPIRATION", "payload": {{"a": {text}}}}}'.encode(), LITERALS),
    st.binary(max_size=60),
)
_VERBS = ["", "cancel", "discard", "retry", "run-now", "reschedule", "nothing"]


@examples(10)
@given(body=_BODIES, verb=st.sampled_from(_VERBS), known=st.booleans())
def test_any_body_is_answered_in_json(redis: Redis, body: bytes, verb: str, known: bool) -> None:
    """A rejection names what is wrong; accepted values are stored as understood."""
    job_id = str(some(1)[0].pk) if known and verb else "00000000-0000-0000-0000-000000000000"
    path = f"/api/jobs/{job_id}/{verb}" if verb else "/api/jobs"
    headers = {"authorization": f"Bearer {SECRET}"}
    with METERS.one("API bodies"):
        answer = Client().post(path, body, content_type="application/json", headers=headers)

    assert is_answered(answer), body
    if verb != "nothing":
        found = answer.json()
        assert found["id" if answer.status_code < 300 else "error"]
    Job.objects.all().delete()


@pytest.fixture
def forms(admin_client: Client, redis: Redis) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """The forms of some pages, as a browser has them."""
    found = {}
    for page in FORMS:
        client = Client() if page == "login/" else admin_client
        forms = Forms(client.get(f"/admin/{page}").content.decode()).found
        found[page] = [(action, fields) for action, fields in forms if "logout" not in action and len(fields) > 1]
    assert all(found.values()), found
    return found


@examples(5)
@given(page=st.sampled_from(FORMS), data=st.data())
def test_any_form_is_answered(
    admin_client: Client, forms: dict[str, list[tuple[str, dict[str, str]]]], page: str, data: st.DataObject
) -> None:
    """With odd values in some fields: it comes back with errors, or is done."""
    _, fields = data.draw(st.sampled_from(forms[page]))
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(fields)), TEXT, min_size=1, max_size=4))
    body = urlencode({**fields, **changes}, errors="surrogatepass")
    client = Client() if page == "login/" else admin_client
    with METERS.one("forms"):
        answer = client.post(f"/admin/{page}", body, content_type="application/x-www-form-urlencoded")

    assert is_answered(answer), changes


@examples(4)
@given(
    page=st.sampled_from(LISTS),
    query=st.dictionaries(st.sampled_from(PARAMETERS), TEXT, min_size=1, max_size=3),
)
def test_any_query_string_is_answered(admin_client: Client, redis: Redis, page: str, query: dict[str, str]) -> None:
    """With a list, a redirect, or a page that says what is wrong with the filter."""
    with METERS.one("addresses"):
        answer = admin_client.get(f"/admin/{page}/?{urlencode(query, errors='surrogatepass')}")

    assert is_answered(answer), query
