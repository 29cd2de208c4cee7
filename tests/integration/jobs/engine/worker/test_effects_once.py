"""An effect is executed once, whatever the main API answers and whenever a worker dies."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from jobs import service
from jobs.engine.scheduler.rescuer import Rescuer
from jobs.engine.worker import attempt
from jobs.errors import JobError, OutcomeUnknown, Stopped
from jobs.ledger import moves
from jobs.main_api.answers import Fault, Reply, Request, read_reply
from jobs.main_api.client import main_api
from jobs.main_api.executing import read_execution
from jobs.models import Job
from jobs.run import Run
from jobs.service import Submission
from jobs.states import State
from tests.support.answers import EXECUTED, REFUSED, UNCLEAR, UNDERSTOOD
from tests.support.examples import examples
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


def effect_job(effect_id: str = "effect-1-1") -> Job:
    due = (timezone.now() - timedelta(seconds=5)).isoformat()
    payload = {"effectId": effect_id, "executeAt": due}
    return service.submit(Submission(type="DEFERRED_EFFECT", campaign_id="campaign-1", payload=payload), actor="t")[0]


def claim(job: Job) -> attempt.Claimed:
    (claimed,) = attempt.claim([str(job.pk)], worker="w", now=timezone.now())
    return claimed


def run(job: Job) -> Job:
    """One attempt as a worker does it, recorded."""
    attempt.record(attempt.run_handler([claim(job)]), actor="worker:w", worker="w")
    job.refresh_from_db()
    return job


def answered(sandbox: SandboxApi, reply: dict[str, Any]) -> Job:
    """An effect's job once nothing more happens by itself; a main API that knows no keys answers so every time."""
    faults = {"operations": ["executeEffect"], "replies": [reply] * 4, "ignoreKeys": True}
    sandbox.control("POST", "faults", faults)
    job = run(effect_job())
    while job.state == State.RETRYING and not job.may_have_been_applied:
        service.run_now([job], actor="t", reason="its time has come")
        job = run(job)
    return job


@contextmanager
def unknown_outcome(settings: Any, policy: str) -> Iterator[None]:
    """EFFECT_UNKNOWN_OUTCOME, for a while."""
    before, settings.EFFECT_UNKNOWN_OUTCOME = settings.EFFECT_UNKNOWN_OUTCOME, policy
    attempt.policy_of.cache_clear()
    try:
        yield
    finally:
        settings.EFFECT_UNKNOWN_OUTCOME = before
        attempt.policy_of.cache_clear()


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_answer_is_never_followed_by_another_request(sandbox: SandboxApi, reply: dict[str, Any]) -> None:
    """It was executed, and nobody can know: a dead letter that says so, executed once."""
    job = answered(sandbox, reply)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert len(sandbox.world()["executions"]) == 1


@pytest.mark.parametrize("reply", REFUSED.values(), ids=REFUSED)
def test_a_clear_refusal_is_known_not_to_be_applied(sandbox: SandboxApi, reply: dict[str, Any]) -> None:
    """Such a dead letter leaves nothing open."""
    job = answered(sandbox, reply)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, False)


@pytest.mark.parametrize("reply", UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_an_effect_that_was_executed_is_done_however_that_is_told(sandbox: SandboxApi, reply: dict[str, Any]) -> None:
    """success: true is the answer; what stands beside it cannot undo it."""
    job = answered(sandbox, reply)

    assert (job.state, job.may_have_been_applied) == (State.SUCCEEDED, False)
    assert len(sandbox.world()["executions"]) == 1


def test_too_many_requests_is_tried_again(sandbox: SandboxApi) -> None:
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


@examples(300)
@given(
    status=st.sampled_from([200, 201, 204, 301, 400, 404, 422, 500, 503, 599]),
    found=st.binary(max_size=60)
    | st.builds(lambda d, e: json.dumps({"data": d, "errors": e}).encode(), JSON, JSON)
    | st.builds(lambda f: json.dumps({"data": {"executeEffect": f}}).encode(), JSON),
)
def test_whatever_comes_back_is_unclear_unless_it_says_success_or_refuses(status: int, found: bytes) -> None:
    """No answer that a stranger can make up leads to a second request: by the table of answers.py."""
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
def test_our_own_fault_after_the_work_does_not_undo_it(
    sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """The handler breaks when the effect is executed: the job has succeeded, for the work was done."""
    execute = main_api().execute_effect

    def breaks(*args: Any, **named: Any) -> Any:
        execute(*args, **named)
        raise kind

    monkeypatch.setattr(type(main_api()), "execute_effect", lambda _self, *a, **n: breaks(*a, **n))
    job = run(effect_job())

    assert (job.state, job.may_have_been_applied) == (State.SUCCEEDED, False)
    assert "what followed failed" in str(job.result)


def test_a_fault_of_ours_between_sending_and_answer_is_of_unknown_outcome(
    sandbox: SandboxApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is out when our own code breaks: nobody knows."""

    def breaks(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("jobs.main_api.transport.read_reply", breaks)
    job = effect_job()
    monkeypatch.setattr(type(main_api().cache), "effect", lambda *_: _effect())
    job = run(job)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert len(sandbox.world()["executions"]) == 1


def _effect() -> Any:
    from jobs.main_api.model import Effect

    return Effect(
        id="effect-1-1",
        name="E",
        effect_type="t",
        entity_type="event",
        entity_id="event-1-1",
        timing="PRE",
        priority=1,
        is_active=True,
        version=1,
    )


def lost(job: Job, redis: Redis) -> Job:
    """The job after the active scheduler has found that its worker is gone."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    rescuer = Rescuer(redis)
    rescuer.checked_at = timezone.now()
    rescuer.free_expired(timezone.now())
    job.refresh_from_db()
    return job


def test_a_worker_lost_before_it_sent_anything_gives_the_job_back(sandbox: SandboxApi, redis: Redis) -> None:
    """Killed between the claim and the first request: the effect is executed by the next worker, once."""
    job = effect_job()
    claim(job)
    job = lost(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.QUEUED, False)
    assert run(job).state == State.SUCCEEDED
    assert len(sandbox.world()["executions"]) == 1


def test_a_worker_lost_once_it_sends_leaves_an_unknown_outcome(sandbox: SandboxApi, redis: Redis) -> None:
    """That sending begins stands in the database before it begins."""
    job = effect_job()
    claimed = claim(job)
    attempt.watch_sending(claimed)
    assert claimed.sending is not None
    claimed.sending.begin()
    job = lost(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)


def test_a_worker_that_wakes_while_it_is_given_up_is_not_called_unsent(
    sandbox: SandboxApi, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins to send between the scheduler's look and its verdict: the job is not given to another worker."""
    job = effect_job()
    claimed = claim(job)
    attempt.watch_sending(claimed)
    assert claimed.sending is not None
    counts = Rescuer.can_trust_leases

    def wakes(rescuer: Rescuer, now: Any) -> bool:
        attempt.run_handler([claimed])
        return counts(rescuer, now)

    monkeypatch.setattr(Rescuer, "can_trust_leases", wakes)
    job = lost(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)
    assert len(sandbox.world()["executions"]) == 1


def test_a_claim_of_an_older_release_is_not_called_unsent(sandbox: SandboxApi, redis: Redis) -> None:
    """It records no sending: what its worker had sent when it was lost, nobody knows."""
    job = effect_job()
    claim(job)
    Job.objects.filter(pk=job.pk).update(sending_attempt=None)
    job = lost(job, redis)

    assert (job.state, job.may_have_been_applied) == (State.DEAD, True)


@pytest.mark.parametrize("error", [OutcomeUnknown("too long"), Stopped("stopped by ann"), TypeError("bug")])
def test_done_is_done_whoever_ends_the_attempt(sandbox: SandboxApi, error: BaseException) -> None:
    """The main API has said so before the job was stopped, or its time was over."""
    job = effect_job()
    claimed = claim(job)
    attempt.run_handler([claimed])
    attempt.record(
        [attempt.ending_of(claimed, attempt.judge(claimed, error), 1.0, now=timezone.now())], actor="w", worker="w"
    )
    job.refresh_from_db()

    assert (job.state, job.may_have_been_applied) == (State.SUCCEEDED, False)


def test_an_effect_that_was_switched_on_is_executed(sandbox: SandboxApi) -> None:
    """Nobody tells of it: that it was inactive a minute ago is not remembered."""
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


def test_a_job_that_kills_every_worker_ends_as_a_dead_letter(sandbox: SandboxApi, redis: Redis) -> None:
    """Giving back counts: what kills its worker before it sends anything must not kill workers for ever."""
    job = effect_job()
    states = []
    for _ in range(3):
        claim(job)
        job = lost(job, redis)
        states.append(job.state)

    assert states == [State.QUEUED, State.QUEUED, State.DEAD]
    assert job.may_have_been_applied is False


def test_a_stale_worker_sends_nothing(sandbox: SandboxApi, redis: Redis) -> None:
    """Its job belongs to another attempt by now: it finds that out before it sends, not after."""
    job = effect_job()
    stale = claim(job)
    job = lost(job, redis)
    run(job)
    (ended,) = attempt.run_handler([stale])

    assert ended.error is not None
    assert len(sandbox.world()["executions"]) == 1


@pytest.mark.parametrize("between", ["nothing", "the breaker opens"])
def test_the_switch_to_dead_holds_for_what_already_waits_to_be_sent_again(
    sandbox: SandboxApi, between: str, settings: Any
) -> None:
    """Not even after a bounce off the breaker. An operator may retry it: that is a decision."""
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
def test_cancel_is_for_what_has_not_begun(sandbox: SandboxApi, policy: str, settings: Any) -> None:
    """What may have been applied is discarded, in so many words; the API answers 409 to cancel."""
    settings.SCHEDULER_API_TOKENS = {"secret": "tests"}
    with unknown_outcome(settings, policy):
        job = answered(sandbox, UNCLEAR["HTTP 503"])

    def post(verb: str) -> Any:
        path, headers = f"/api/jobs/{job.pk}/{verb}", {"authorization": "Bearer secret"}
        return Client().post(path, "{}", content_type="application/json", headers=headers)

    assert job.state == (State.DEAD if policy == "dead" else State.RETRYING)
    assert post("cancel").status_code == 409
    discarded = post("discard")
    assert (discarded.status_code, discarded.json()["mayHaveBeenApplied"]) == (200, True)
    assert "unknown" in Job.objects.get(pk=job.pk).audit_trail.latest("id").reason


def test_discarding_is_not_for_what_waits(sandbox: SandboxApi) -> None:
    """Nothing of it can have been done: that is cancelled."""
    job = effect_job()

    assert not service.discard([job], actor="t", reason="r").done
    assert service.cancel([job], actor="t", reason="r").done


def test_a_dead_letter_is_not_cancelled(sandbox: SandboxApi) -> None:
    """Not even one that was clearly refused: it has begun."""
    job = answered(sandbox, REFUSED["HTTP 413"])

    assert str(service.cancel([job], actor="t", reason="r")) == "Cancelled 0 jobs. 1 left as it was: 1 DEAD."
    assert str(service.discard([job], actor="t", reason="r")) == "Discarded 1 job."


@pytest.mark.parametrize("text", ["\0", "\ud83c", "x" * 300_000])
def test_an_end_that_the_database_refuses_costs_itself(sandbox: SandboxApi, text: str) -> None:
    """Recording failed after the work was done: it is recorded as done, without what could not be."""
    job = effect_job()
    claimed = claim(job)
    whole = attempt.ending_of(claimed, None, 1.0, now=timezone.now())
    ending = msgspec.structs.replace(whole, result=json.dumps({"entity": text}))

    (recorded,), _ = moves.cycle([ending.bare()], [], actor="worker:w", worker="w", now=timezone.now())

    assert recorded.to is State.SUCCEEDED
    assert connection.vendor in ("sqlite", "postgresql")


@pytest.fixture
def page(admin_client: Client) -> Callable[[str], str]:
    """What a superuser sees."""
    return lambda path: b"".join(admin_client.get(path)).decode()


def test_what_may_have_been_applied_is_told_apart(sandbox: SandboxApi, page: Callable[[str], str]) -> None:
    """On the job's page, in the list, in the export and in the API, from what was clearly not."""
    unknown, known = answered(sandbox, UNCLEAR["HTTP 503"]), None
    sandbox.reset()
    known = answered(sandbox, REFUSED["HTTP 413"])
    said = [page(f"/admin/jobs/job/{job.pk}/change/") for job in (unknown, known)]
    rows = {row["id"]: row for row in json.loads(page("/admin/jobs/job/export/json/"))} if known else {}

    assert ["May have been applied" in text for text in said] == [True, False]
    assert "The effect may already be applied; it was not sent again." in said[0]
    assert page("/admin/jobs/job/").count("May have been applied") == 1
    assert [rows[str(job.pk)]["may_have_been_applied"] for job in (unknown, known)] == [True, False]


def test_the_run_of_a_repeatable_type_records_no_sending(sandbox: SandboxApi) -> None:
    """Only what must not be sent twice pays for the record."""
    assert Run.__dataclass_fields__["sending"] is not None
    job, _ = service.submit(Submission(type="EVENT_EXPIRATION", campaign_id="campaign-1", payload={}), actor="t")
    run(job)

    assert job.sending_attempt is None
