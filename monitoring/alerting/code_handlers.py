"""Alert handlers in code: functions that the monitor calls with each message."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

from monitoring.alerting.message import Message
from monitoring.models import Severity

Function = Callable[[Message], object]
PREFIX = "code:"


@dataclass(frozen=True, slots=True)
class CodeHandler:
    call: Function
    minimum: Severity


_handlers: dict[str, CodeHandler] = {}


@overload
def register_handler(handler: Function) -> Function: ...
@overload
def register_handler(*, minimum: Severity) -> Callable[[Function], Function]: ...
def register_handler(
    handler: Function | None = None, *, minimum: Severity = Severity.INFO
) -> Function | Callable[[Function], Function]:
    """Register a function that gets a Message when an alert of at least `minimum` opens, repeats or is resolved.

    An exception is a failed attempt, which is retried like any other delivery.
    """

    def register(function: Function) -> Function:
        _handlers[f"{PREFIX}{function.__module__}.{function.__qualname__}"[:120]] = CodeHandler(function, minimum)
        return function

    return register(handler) if handler else register


def code_handlers() -> dict[str, CodeHandler]:
    """Return the registered handlers by target name."""
    return dict(_handlers)


def unregister_handler(function: Function) -> None:
    for target in [target for target, known in _handlers.items() if known.call is function]:
        del _handlers[target]
