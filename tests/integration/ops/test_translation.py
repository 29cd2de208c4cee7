"""Every text on every page is translated."""

import time
from collections import defaultdict
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse
from redis import Redis

from jobs.models import CampaignClock, CronTask, FailureGroup, Job, JobAction, WorldAdvance
from monitoring.alerting.channels import CHANNELS
from monitoring.models import Alert, AlertHandler, Delivery
from ops.reads.verdict import KEPT_S
from tests.support.addresses import addresses
from tests.support.full_world import fill, stored_texts
from tests.support.people import member
from tests.support.pseudo_language import brackets, find_untranslated
from tests.support.servers import SandboxApi

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]


def pages() -> Iterator[str]:
    """Every address, and every kind of thing on the pages that show one."""
    task = CronTask.objects.order_by("pk")[0]
    of_each = {(job.type, job.state, job.may_have_been_applied): job for job in Job.objects.order_by("pk")}
    known = {"job": str(next(iter(of_each.values())).pk), "task": str(task.pk)}
    yield from sorted(page for page in set(addresses(known)) if "/export/" not in page)
    yield from (reverse("admin:jobs_job_change", args=[job.pk]) for job in of_each.values())
    yield from (f"{reverse('admin:jobs_job_changelist')}?state={state}" for state in {state for _, state, _ in of_each})
    yield from (reverse("admin:jobs_jobaction", args=[action.pk]) for action in JobAction.objects.all())
    yield from (reverse("admin:jobs_failuregroup_change", args=[one.pk]) for one in FailureGroup.objects.all())
    for one in CampaignClock.objects.filter(pk__in=("c-1", "campaign-1")):
        for name in ("change", "calendar", "advances", "world_clock", "forecast"):
            yield reverse(f"admin:jobs_campaignclock_{name}", args=[one.pk])
        yield f"{reverse('admin:jobs_campaignclock_what_if', args=[one.pk])}?by=1d"
    for advance in WorldAdvance.objects.all():
        yield reverse("admin:jobs_campaignclock_advance", args=[advance.campaign_id, advance.pk])
    for model in (Alert, AlertHandler, Delivery):
        for pk in model.objects.values_list("pk", flat=True):
            yield reverse(f"admin:monitoring_{model._meta.model_name}_change", args=[pk])
    yield from (f"{reverse('admin:monitoring_alerthandler_add')}?kind={name}" for name in CHANNELS)
    yield f"{reverse('admin:jobs_auditentry_changelist')}?scope=all"
    yield f"{reverse('admin:jobs_failuregroup_changelist')}?show=all"
    yield f"{reverse('admin:jobs_job_add')}?type=SETTLEMENT_GROWTH"
    yield f"{reverse('admin:jobs_job_changelist')}?q=nothing"


def test_every_text_on_every_page_is_translated(client: Client, redis: Redis, sandbox: SandboxApi) -> None:
    olga = member(client, "Administrator", name="olga")
    fill(olga, redis, sandbox)
    data = stored_texts(sandbox)
    found: dict[str, list[str]] = defaultdict(list)
    seen = 0
    time.sleep(KEPT_S)  # the banner keeps its last verdict so long, in the language of then
    with brackets():
        for page in dict.fromkeys(pages()):
            answer = olga.get(page)
            if answer.status_code == 200 and "html" in answer.get("Content-Type", ""):
                seen += 1
                for text in find_untranslated(answer.content.decode(), data):
                    found[text].append(page)

    assert found == {}
    assert seen > 120
