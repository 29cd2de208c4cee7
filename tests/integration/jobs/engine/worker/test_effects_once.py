"""An effect is executed once, whatever the main API answers."""

import json
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jobs import service
from jobs.errors import JobError
from jobs.main_api.answers import Answer, Fault, Reply, Request, read_reply
from jobs.main_api.client import main_api
from jobs.main_api.executing import read_execution
from jobs.run import Run
from jobs.service import Submission
from jobs.states import State
from tests.support.answers import EXECUTED, REFUSED, UNCLEAR, UNDERSTOOD
from tests.support.effects import EFFECT, effect_job, run, run_with_reply
from tests.support.examples import examples
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_answer_is_never_followed_by_another_request(sandbox: SandboxApi, reply: dict[str, Any]) -> None:
    """It was executed, but nobody can know: a dead letter, executed once."""
    job = run_with_reply(sandbox, reply)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert len(sandbox.world()["executions"]) == 1


@pytest.mark.parametrize("reply", REFUSED.values(), ids=REFUSED)
def test_a_clear_refusal_counts_as_not_applied(sandbox: SandboxApi, reply: dict[str, Any]) -> None:
    """Its dead letter leaves nothing open."""
    job = run_with_reply(sandbox, reply)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, False)


@pytest.mark.parametrize("reply", UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_an_executed_effect_succeeds_however_the_answer_says_so(sandbox: SandboxApi, reply: dict[str, Any]) -> None:
    """success: true decides; nothing beside it can undo that."""
    job = run_with_reply(sandbox, reply)

    assert (job.state, job.may_have_been_applied) == (State.SUCCEEDED, False)
    assert len(sandbox.world()["executions"]) == 1


def test_too_many_requests_is_retried(sandbox: SandboxApi) -> None:
    """429 says that nothing was done."""
    sandbox.control("POST", "faults", {"operations": ["executeEffect"], "rateLimit": {"next": 1}})
    job = run(effect_job())

    assert (job.state, job.may_have_been_applied) == (State.RETRYING, False)
    assert sandbox.world()["executions"] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(sorted(EXECUTED)), inner),
    max_leaves=8,
)


@examples(100)
@given(
    status=st.sampled_from([200, 201, 204, 301, 400, 404, 422, 500, 503, 599]),
    found=st.binary(max_size=60)
    | st.builds(lambda d, e: json.dumps({"data": d, "errors": e}).encode(), JSON, JSON)
    | st.builds(lambda f: json.dumps({"data": {"executeEffect": f}}).encode(), JSON),
)
def test_any_other_answer_is_unclear(status: int, found: bytes) -> None:
    """No made-up answer leads to a second request, by the table of answers.py."""
    try:
        done = read_execution(read_reply(Reply(status, found), Request.ONCE), "effect-1-1")
    except (Fault, JobError) as error:
        raised = error.error if isinstance(error, Fault) else error
        text = found.decode("utf-8", "replace")
        clear = '"success": false' in text or '"code"' in text
        assert getattr(raised, "may_resend", None) is False or clear, (raised, text)
    else:
        assert b'"success": true' in found, done


@pytest.mark.parametrize(
    "kind", [TypeError, RecursionError, UnicodeEncodeError("utf-8", "\ud83c", 0, 1, "no"), KeyError]
)
def test_a_bug_after_the_effect_does_not_undo_it(
    sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """The handler fails after the effect was executed: the job has succeeded."""
    execute = main_api().execute_effect

    def breaks(*args: Any, **named: Any) -> Any:
        execute(*args, **named)
        raise kind

    monkeypatch.setattr(type(main_api()), "execute_effect", lambda _self, *a, **n: breaks(*a, **n))
    job = run(effect_job())

    assert (job.state, job.may_have_been_applied) == (State.SUCCEEDED, False)
    assert "what followed failed" in str(job.result)


def test_a_bug_between_sending_and_answer_leaves_an_unknown_outcome(
    sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is out when our own code fails."""

    def breaks(reply: Reply, request: Request) -> Answer:
        if request is Request.ONCE:
            raise MemoryError
        return read_reply(reply, request)

    monkeypatch.setattr("jobs.main_api.transport.read_reply", breaks)
    job = effect_job()
    monkeypatch.setattr(type(main_api().cache), "effect", lambda *_: replace(EFFECT, id="effect-1-1"))
    job = run(job)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert len(sandbox.world()["executions"]) == 1


def test_a_reactivated_effect_is_executed(sandbox: SandboxApi) -> None:
    """No message announces it: that it was inactive a minute ago is not cached."""
    sandbox.control("POST", "effects", {"id": "effect-1-1", "isActive": False})
    assert run(effect_job()).state == State.SKIPPED
    sandbox.control("POST", "effects", {"id": "effect-1-1", "isActive": True})
    main_api().cache.drop_campaigns()
    job, _ = service.submit(
        Submission(
            type="DEFERRED_EFFECT",
            campaign_id="campaign-2",
            payload={"effectId": "effect-1-1", "executeAt": timezone.now().isoformat()},
        ),
        actor="t",
    )

    assert run(job).state == State.SUCCEEDED


def test_an_idempotent_type_records_no_sending(sandbox: SandboxApi) -> None:
    """Only what must not be sent twice pays for the record."""
    assert "sending" in Run.__struct_fields__
    job, _ = service.submit(Submission(type="EVENT_EXPIRATION", campaign_id="campaign-1", payload={}), actor="t")
    run(job)

    assert job.sending_attempt is None
