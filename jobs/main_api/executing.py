"""Executes effects, which is not idempotent, and reads what the response says."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from jobs.errors import JobError, OutcomeUnknown, PermanentError, TransientError
from jobs.main_api import operations
from jobs.main_api.answers import Answer, Request, refusal_of
from jobs.main_api.errors import error_of
from jobs.main_api.model import EffectExecution
from jobs.main_api.patches import FIELD, Patches, ask_for_patch
from jobs.sending import Sending

EXECUTE: Final = "executeEffect"
LONGEST_REASON: Final = 1000


class Ask(Protocol):
    """Sends one request (`MainApi.ask`)."""

    def __call__(
        self, name: str, document: str, variables: Mapping[str, Any], *, key: str = "", once: Sending | None = None
    ) -> Answer: ...


class Executing:
    def __init__(self, ask: Ask) -> None:
        self.patches = Patches(ask)
        self._ask = ask

    def run(self, effect_id: str, key: str, sending: Sending) -> EffectExecution:
        """Execute one effect, as `MainApi.execute_effect` says."""
        document = operations.text(EXECUTE)
        if self.patches.are_served():
            document = ask_for_patch(document)
        try:
            answer = self._ask(EXECUTE, document, {"input": {"effectId": effect_id}}, key=key, once=sending)
            if self.patches.note_refused(answer):
                raise TransientError(f"{EXECUTE}: the main API no longer serves {FIELD}; nothing was executed")
            done = read_execution(answer, effect_id)
        except OutcomeUnknown:
            raise
        except JobError:
            sending.mark_refused()
            raise
        sending.mark_done()
        return done


def read_execution(answer: Answer, effect_id: str) -> EffectExecution:
    """Interpret the response to executeEffect by the table in answers.py."""
    done = answer.data.get(EXECUTE)
    result = done if isinstance(done, Mapping) else {}
    if result.get("success") is True:
        return EffectExecution.of(result)
    if result.get("success") is False:
        raise PermanentError(f"{EXECUTE}: {result.get('error') or 'failed without a reason'}"[:LONGEST_REASON])
    if refusal := refusal_of(answer, EXECUTE, about=effect_id):
        raise error_of(EXECUTE, refusal)
    reason = str(error_of(EXECUTE, answer.errors[0])) if answer.errors else f"{EXECUTE}: the answer is {done!r}"
    raise Request.ONCE.unclear(reason[:LONGEST_REASON])
