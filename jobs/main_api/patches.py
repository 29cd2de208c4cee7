"""Learns whether executeEffect can report the patch that it has applied: not in the contract, but in place of
affectedFields where the main API leaves those null.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from jobs.errors import JobError
from jobs.main_api.answers import Answer
from jobs.main_api.learning import BELIEVED_S, DOUBTED_S, Learning

log = structlog.get_logger(__name__)
FIELD: Final = "patchApplied"
OPERATION: Final = "__type"
QUERY: Final = 'query { __type(name: "EffectExecutionResult") { fields { name } } }'
#: Validated, and never executed: where introspection is off, as in production, this tells whether there is the field.
PROBE: Final = (
    "mutation executeEffectFields($never: Boolean! = false) "
    f'{{ executeEffect(input: {{effectId: "none"}}) @include(if: $never) {{ {FIELD} }} }}'
)


class Patches:
    """What one process knows. `ask` sends a query."""

    def __init__(self, ask: Callable[[str, str, Mapping[str, Any]], Answer]) -> None:
        self._ask = ask
        self._served = False
        self._known_until = 0.0
        self._learning = Learning(self._is_known)

    def are_served(self) -> bool:
        """Whether to ask for the patch; False if that cannot be found out."""
        with self._learning.by_one_thread():
            if not self._is_known():
                self._find_out()
            return self._served

    def note_refused(self, answer: Answer) -> bool:
        """Whether the response says that there is no such field, so that nothing was executed. Stop asking then."""
        refused = _lacks_field(answer)
        if refused:
            self._served, self._known_until = False, time.monotonic() + BELIEVED_S
        return refused

    def _is_known(self) -> bool:
        return time.monotonic() < self._known_until

    def _find_out(self) -> None:
        served: bool | None = None
        try:
            answer = self._ask(OPERATION, QUERY, {})
            if answer.errors and not answer.data:
                answer = self._ask(OPERATION, PROBE, {})
                served = False if _lacks_field(answer) else None if answer.errors else True
            else:
                found = answer.data.get("__type")
                fields = found.get("fields") if isinstance(found, Mapping) else None
                served = isinstance(fields, list) and {"name": FIELD} in fields
        except JobError as error:
            log.debug("main_api.patches_unknown", error=str(error))
        self._served = bool(served)
        self._known_until = time.monotonic() + (DOUBTED_S if served is None else BELIEVED_S)


def _lacks_field(answer: Answer) -> bool:
    """Whether the response says that there is no such field, so that nothing was executed."""
    return not answer.data and any("Cannot query field" in e.message and FIELD in e.message for e in answer.errors)


def ask_for_patch(document: str) -> str:
    """The document of executeEffect that asks for the patch too."""
    return document.replace("affectedFields", f"affectedFields {FIELD}")


def fields_of(patch: object) -> list[str] | None:
    """The fields that a patch changes: JSON Patch operations, or a map of values.

    >>> fields_of([{"op": "replace", "path": "/variables/a~1b", "value": 1}, {"op": "add", "path": "/level"}])
    ['variables.a/b', 'level']
    >>> fields_of({"level": 2}), fields_of("?")
    (['level'], None)
    """
    if isinstance(patch, Mapping):
        return [str(name) for name in patch]
    if not isinstance(patch, list):
        return None
    paths = [one.get("path") for one in patch if isinstance(one, Mapping)]
    return [_as_path(path) for path in paths if isinstance(path, str)]


def _as_path(pointer: str) -> str:
    steps = pointer.lstrip("/").replace("/", ".")
    return steps.replace("~1", "/").replace("~0", "~")
