"""What the response to executeEffect says."""

from collections.abc import Mapping
from typing import Final

from jobs.errors import PermanentError
from jobs.main_api.answers import Answer, Request, refusal_of
from jobs.main_api.errors import error_of
from jobs.main_api.model import EffectExecution

EXECUTE: Final = "executeEffect"
LONGEST_REASON: Final = 1000


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
