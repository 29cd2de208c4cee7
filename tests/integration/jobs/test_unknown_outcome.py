"""Jobs of unknown outcome: the policy, operators' commands, and how pages mark them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from jobs import service
from jobs.main_api.client import main_api
from jobs.models import Job
from jobs.states import State
from tests.support.answers import REFUSED, UNCLEAR
from tests.support.effects import effect_job, run, run_with_reply, unknown_outcome
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("between", ["nothing", "the breaker opens"])
def test_switching_the_policy_to_dead_holds_for_waiting_retries(
    sandbox: SandboxApi, between: str, settings: Any
) -> None:
    """Also after a bounce off the breaker. An operator may retry: that is a decision."""
    sandbox.control("POST", "faults", {"operations": ["executeEffect"], "replies": [UNCLEAR["HTTP 503"]]})
    with unknown_outcome(settings, "retry"):
        job = run(effect_job())
        assert job.state == State.RETRYING
        service.run_now([job], actor="t", reason="again")
        if between != "nothing":
            main_api().breaker.force("open", by="t", reason="t")
            job = run(job)
            main_api().breaker.release()
            service.run_now([job], actor="t", reason="again")
    job = run(job)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert len(sandbox.world()["executions"]) == 1
    service.retry([job], actor="t", reason="it was not applied: I looked")
    assert run(job).state == State.SUCCEEDED


@pytest.mark.parametrize("policy", ["dead", "retry"])
def test_only_jobs_that_have_not_begun_can_be_cancelled(sandbox: SandboxApi, policy: str, settings: Any) -> None:
    """What may have been applied is discarded explicitly; the API answers 409 to cancel."""
    settings.SCHEDULER_API_TOKENS = {"secret": "tests"}
    with unknown_outcome(settings, policy):
        job = run_with_reply(sandbox, UNCLEAR["HTTP 503"])

    def post(verb: str) -> Any:
        path, headers = f"/api/jobs/{job.pk}/{verb}", {"authorization": "Bearer secret"}
        return Client().post(path, "{}", content_type="application/json", headers=headers)

    assert job.state == (State.DEAD if policy == "dead" else State.RETRYING)
    assert post("cancel").status_code == 409
    discarded = post("discard")
    assert (discarded.status_code, discarded.json()["mayHaveBeenApplied"]) == (200, True)
    details = Job.objects.get(pk=job.pk).audit_trail.latest("id").details
    assert details
    assert details["mayHaveBeenApplied"]


def test_waiting_jobs_cannot_be_discarded(sandbox: SandboxApi) -> None:
    """Nothing of them can have been done: they are cancelled."""
    job = effect_job()

    assert not service.discard([job], actor="t", reason="r").done
    assert service.cancel([job], actor="t", reason="r").done


def test_a_dead_letter_cannot_be_cancelled(sandbox: SandboxApi) -> None:
    """Not even a clearly refused one: it has begun."""
    job = run_with_reply(sandbox, REFUSED["HTTP 413"])

    assert service.cancel([job], actor="t", reason="r").skipped == {"DEAD": 1}
    assert service.discard([job], actor="t", reason="r").done == [job]


@pytest.fixture
def page(admin_client: Client) -> Callable[[str], str]:
    """What a superuser sees."""
    return lambda path: b"".join(admin_client.get(path)).decode()


def test_jobs_that_may_have_been_applied_are_marked(sandbox: SandboxApi, page: Callable[[str], str]) -> None:
    """On the job's page, in the list, the export and the API; those clearly refused are not."""
    unknown, known = run_with_reply(sandbox, UNCLEAR["HTTP 503"]), None
    sandbox.reset()
    known = run_with_reply(sandbox, REFUSED["HTTP 413"])
    said = [page(f"/admin/jobs/job/{job.pk}/change/") for job in (unknown, known)]
    rows = {row["id"]: row for row in json.loads(page("/admin/jobs/job/export/json/"))} if known else {}

    assert ["May have been applied" in text for text in said] == [True, False]
    assert "The effect may already be applied; it was not sent again." in said[0]
    assert page("/admin/jobs/job/").count("May have been applied") == 1
    assert [rows[str(job.pk)]["may_have_been_applied"] for job in (unknown, known)] == [True, False]
