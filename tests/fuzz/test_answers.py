"""Whatever the main API answers: an effect is sent once, and no reader of a list or entity breaks."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import service
from jobs.engine.worker import attempt
from jobs.errors import JobError
from jobs.main_api.answers import Fault, Reply, Request, read_reply
from jobs.main_api.client import MainApi, main_api
from jobs.main_api.listing import read_list, read_one
from jobs.main_api.model import Branch, Campaign, Effect, Event, Kingdom, Settlement, Structure
from jobs.models import Job
from jobs.service import Submission
from jobs.states import State
from tests.fuzz.meter import METERS
from tests.fuzz.mutants import mutants
from tests.fuzz.strategies import EXECUTIONS, STATUS, answers
from tests.support.examples import examples
from tests.support.texts import JSON

_KINDS: list[type[Any]] = [Branch, Campaign, Effect, Event, Kingdom, Settlement, Structure]
_FIELDS = [
    "id",
    "name",
    "isActive",
    "currentWorldTime",
    "scheduledAt",
    "variables",
    "version",
    "level",
    "campaignId",
    "parentId",
    "kingdomId",
    "settlementId",
    "archivedAt",
    "effectType",
    "entityType",
    "entityId",
    "priority",
]
RECORD = st.fixed_dictionaries({}, optional=dict.fromkeys(_FIELDS, JSON))
EFFECT: dict[str, Any] = {
    "id": "e",
    "name": "E",
    "effectType": "patch",
    "entityType": "event",
    "entityId": "v",
    "timing": "PRE",
    "priority": 1,
    "isActive": True,
    "version": 1,
}


class Answering:
    """Sends nothing: it answers queries for the effect as it should, and the effect's execution with `reply`."""

    def __init__(self) -> None:
        self.reply = Reply(200, b"")
        self.executions = 0

    def post(self, sent: bytes, request: Request, headers: Mapping[str, str]) -> Reply:
        """In the place of the exchange with the main API."""
        if request is Request.QUERY:
            return Reply(200, json.dumps({"data": {"getEffect": EFFECT}}).encode())
        self.executions += 1
        return self.reply


@pytest.fixture
def answering(redis: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """The main API in this process; its breaker never opens."""
    answering = Answering()
    api: MainApi = main_api()
    monkeypatch.setattr(api.transport, "exchange", answering.post)
    monkeypatch.setattr(api.breaker, "record_fault", lambda *_, **__: None)
    yield answering
    main_api.cache_clear()


@pytest.mark.django_db(transaction=True)
@examples(20)
@given(status=STATUS, body=EXECUTIONS)
def test_an_effect_is_sent_once_whatever_comes_back(answering: Answering, status: int, body: bytes) -> None:
    """It is retried only after an answer that clearly says that nothing was done."""
    answering.reply, answering.executions = Reply(status, body), 0
    payload = {"effectId": "e", "executeAt": timezone.now().isoformat()}
    submission = Submission(type="DEFERRED_EFFECT", campaign_id="c", payload=payload)
    job = service.submit(submission, actor="t")[0]
    claimed = attempt.claim([str(job.pk)], worker="w", now=timezone.now())
    with METERS.one("answers to effects"):
        attempt.record(attempt.run_handler(claimed), actor="worker:w", worker="w")
    job.refresh_from_db()
    refused = status == 429 or (status < 500 and (b"OPTIMISTIC_LOCK" in body or b"CONFLICT" in body))

    assert answering.executions == 1
    assert job.state in (State.SUCCEEDED, State.DEAD) or (job.state == State.RETRYING and refused)
    assert job.may_have_been_applied is False or job.state == State.DEAD
    Job.objects.all().delete()


@examples(16)
@given(
    status=STATUS,
    drawn=answers("one", RECORD) | answers("one", st.lists(RECORD, max_size=4)),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(_KINDS),
    request=st.sampled_from(list(Request)),
)
def test_readers_return_items_or_an_error(
    status: int, drawn: bytes, seed: int, kind: type[Any], request: Request
) -> None:
    """One and many, of every kind: a JobError at most, which affects only its item."""
    for body in mutants(drawn, seed):
        with METERS.one("answers to queries"):
            read(Reply(status, body), kind, request)


def read(reply: Reply, kind: type[Any], request: Request) -> None:
    try:
        answer = read_reply(reply, request)
    except (Fault, JobError):
        return
    one, many = read_one("one", "one", answer, kind), read_list("one", "one", answer, kind)
    assert isinstance(one, kind | JobError | None)
    assert isinstance(many, JobError) or all(isinstance(each, kind) for each in many)
