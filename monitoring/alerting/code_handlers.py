"""Handlers that are functions: called by the monitor process with each alert's message."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

from monitoring.alerting.message import Message
from monitoring.models import Severity

Function = Callable[[Message], object]
PREFIX = "code:"


@dataclass(frozen=True, slots=True)
class Registered:
    """A function and the least severity it is called with."""

    call: Function
    minimum: Severity


_registered: dict[str, Registered] = {}


@overload
def register_handler(handler: Function) -> Function: ...
@overload
def register_handler(*, minimum: Severity) -> Callable[[Function], Function]: ...
def register_handler(
    handler: Function | None = None, *, minimum: Severity = Severity.INFO
) -> Function | Callable[[Function], Function]:
    """Let `handler` be called with a Message for each alert of at least `minimum`, and for its end.

    What it raises is a failed attempt: it is called again later, as other handlers are.
    """

    def register(function: Function) -> Function:
        _registered[f"{PREFIX}{function.__module__}.{function.__qualname__}"[:120]] = Registered(function, minimum)
        return function

    return register(handler) if handler else register


def registered() -> dict[str, Registered]:
    """All functions, by target."""
    return dict(_registered)


def forget(function: Function) -> None:
    """Take a function out again."""
    for target in [target for target, known in _registered.items() if known.call is function]:
        del _registered[target]
