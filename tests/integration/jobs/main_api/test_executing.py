"""Executing effects: once, or of unknown outcome."""

import pytest

from jobs.errors import (
    OutcomeUnknown,
    PermanentError,
)
from jobs.main_api.client import MainApi
from jobs.sending import Sending
from tests.support.servers import SandboxApi


def test_an_effect_without_an_answer_is_unknown(api: MainApi, sandbox: SandboxApi) -> None:
    """It was executed and the answer got lost: nobody may send it again by himself."""
    sandbox.control("POST", "faults", {"loseAnswers": 1, "operations": ["executeEffect"]})

    with pytest.raises(OutcomeUnknown) as caught:
        api.execute_effect("effect-1-1", key="job-1", sending=Sending(lambda: True))
    assert caught.value.may_resend is False
    assert len(sandbox.world()["executions"]) == 1
    assert api.execute_effect("effect-1-1", key="job-1", sending=Sending(lambda: True)).execution_id == "execution-1"


def test_an_inactive_effect_is_refused(api: MainApi, sandbox: SandboxApi) -> None:
    """success=false carries the reason."""
    with pytest.raises(PermanentError, match="not active"):
        api.execute_effect("effect-1-4", key="job-2", sending=Sending(lambda: True))


def test_a_key_does_not_keep_a_refusal(api: MainApi, sandbox: SandboxApi) -> None:
    """Once its cause is gone the job is retried by hand, under its key: then the effect is executed."""
    with pytest.raises(PermanentError, match="not active"):
        api.execute_effect("effect-1-4", key="job-2", sending=Sending(lambda: True))

    sandbox.control("POST", "effects", {"id": "effect-1-4", "isActive": True})

    assert api.execute_effect("effect-1-4", key="job-2", sending=Sending(lambda: True)).execution_id == "execution-1"


def test_what_must_not_be_sent_twice_is_sent_once(api: MainApi, sandbox: SandboxApi) -> None:
    """When the connection is closed without an answer the effect was executed once, and nobody knows whether."""
    assert api.effect("effect-1-1")
    sandbox.control("POST", "faults", {"loseAnswers": 1, "operations": ["executeEffect"]})

    with pytest.raises(OutcomeUnknown) as caught:
        api.execute_effect("effect-1-1", key="job-1", sending=Sending(lambda: True))

    assert not caught.value.may_resend
    assert len(sandbox.world()["executions"]) == 1
