"""Executing effects: once, or of unknown outcome."""

import pytest

from jobs.errors import (
    OutcomeUnknown,
    PermanentError,
)
from jobs.main_api.client import MainApi
from jobs.sending import Sending
from tests.support.servers import SandboxApi


def test_an_effect_without_an_answer_has_an_unknown_outcome(api: MainApi, sandbox: SandboxApi) -> None:
    """It was executed and the answer got lost: it must not be sent again automatically."""
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


def test_a_refusal_is_not_remembered_under_its_key(api: MainApi, sandbox: SandboxApi) -> None:
    """Once its cause is gone, an operator's retry executes the effect under the same key."""
    with pytest.raises(PermanentError, match="not active"):
        api.execute_effect("effect-1-4", key="job-2", sending=Sending(lambda: True))

    sandbox.control("POST", "effects", {"id": "effect-1-4", "isActive": True})

    assert api.execute_effect("effect-1-4", key="job-2", sending=Sending(lambda: True)).execution_id == "execution-1"


def test_a_mutation_that_must_not_repeat_is_sent_once(api: MainApi, sandbox: SandboxApi) -> None:
    """If the connection closes without an answer, the outcome is unknown."""
    assert api.effect("effect-1-1")
    sandbox.control("POST", "faults", {"loseAnswers": 1, "operations": ["executeEffect"]})

    with pytest.raises(OutcomeUnknown) as caught:
        api.execute_effect("effect-1-1", key="job-1", sending=Sending(lambda: True))

    assert not caught.value.may_resend
    assert len(sandbox.world()["executions"]) == 1
