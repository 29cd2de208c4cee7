"""Trust boundaries (docs/security.md) that have no other file."""

import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.serializers import JSONSerializer
from django.core.checks import run_checks
from django.test import Client, override_settings
from redis import Redis
from rq.serializers import resolve_serializer

from jobs.models import CampaignClock, Job
from tests.support.working import submit

MARKUP = "<script>alert(1)</script>"


@pytest.mark.django_db(transaction=True)
def test_markup_is_escaped_on_every_page(admin_client: Client, redis: Redis) -> None:
    """In names, errors and payloads."""
    (job,) = submit(1)
    texts = {"campaign_id": MARKUP, "subject": MARKUP, "payload": {MARKUP: MARKUP}, "error": MARKUP, "source": MARKUP}
    Job.objects.filter(pk=job.pk).update(**texts, traceback=MARKUP, worker=MARKUP)
    CampaignClock.objects.create(campaign_id=MARKUP, name=MARKUP)
    pages = ("/admin/", "/admin/jobs/job/", f"/admin/jobs/job/{job.pk}/change/", "/admin/jobs/campaignclock/")

    for page in pages:
        answer = admin_client.get(page)
        assert answer.status_code == 200
        assert MARKUP not in answer.content.decode(), page


def test_nothing_is_stored_as_pickle() -> None:
    """Sessions are JSON, caches are process memory, and RQ reads JSON by default."""
    assert SessionBase().serializer is JSONSerializer
    assert {cache["BACKEND"] for cache in settings.CACHES.values()} == {"django.core.cache.backends.locmem.LocMemCache"}
    for serializer in (None, "pickle", "rq.serializers.DefaultSerializer"):
        assert resolve_serializer(serializer).dumps({"a": 1}) == b'{"a": 1}'


@pytest.mark.parametrize(("name", "there"), [("builtins.len", True), ("builtins.no_such", False), ("json.x.y", False)])
def test_allowed_functions_are_imported_at_startup(name: str, there: bool) -> None:
    """manage.py's checks run before a worker and name missing functions."""
    with override_settings(RUN_FOREIGN_RQ_FUNCTIONS=frozenset({name})):
        faults = [fault.msg for fault in run_checks() if fault.id == "jobs.E001"]

    assert faults == ([] if there else [f"RUN_FOREIGN_RQ_FUNCTIONS: there is no function {name}"])
