"""What answers say about an event's effects, and about its completion."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from jobs.errors import JobError, NotAuthorized, NotFound, OutcomeUnknown, PermanentError
from jobs.main_api.answers import Answer
from jobs.main_api.errors import read_error
from jobs.main_api.triggering import Completion, effects_of, read_completion

EVENT = "event-1-2"
DONE = {"event": {"id": EVENT, "isCompleted": True}}


def summary(total: Any, succeeded: Any) -> dict[str, Any]:
    return {"total": total, "succeeded": succeeded, "failed": 0}


def completion(**summaries: Any) -> Answer:
    return Answer({"completeEvent": {**DONE, **summaries}}, ())


def refusal(message: str, code: str = "", path: Sequence[Any] = ("completeEvent",)) -> Answer:
    error = {"message": message, "path": list(path)} | ({"extensions": {"code": code}} if code else {})
    return Answer({}, (read_error(error),))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (completion(pre=summary(1, 1), onResolve=summary(2, 1), post=summary(0, 0)), Completion(3, 2)),
        (completion(), Completion(0, 0)),
        (completion(pre=summary("many", True), onResolve=None, post=summary(-1, 1)), Completion(0, 1)),
        (refusal(f"Event {EVENT} is already completed", "BAD_REQUEST"), Completion(was_completed=True)),
        (refusal(f"Event {EVENT} is already completed", path=()), Completion(was_completed=True)),
    ],
)
def test_an_event_is_completed_however_malformed_the_rest_is(answer: Answer, expected: Completion) -> None:
    """By this request, or before it."""
    assert read_completion(answer, EVENT) == expected


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(f"event {EVENT} does not exist", "NOT_FOUND"), NotFound),
        (refusal("no", "FORBIDDEN"), NotAuthorized),
        (refusal("no", "BAD_USER_INPUT"), PermanentError),
        (refusal(f"Event {EVENT} has unresolved prerequisites", "BAD_REQUEST"), PermanentError),
        (refusal("something broke", "INTERNAL_SERVER_ERROR"), OutcomeUnknown),
        (refusal("no", "BAD_USER_INPUT", ("completeEvent", "pre")), OutcomeUnknown),
        (Answer({"completeEvent": None}, ()), OutcomeUnknown),
        (Answer({"completeEvent": "ok"}, ()), OutcomeUnknown),
        (Answer({}, ()), OutcomeUnknown),
        (Answer({"completeEvent": {"event": {"id": "e-99", "isCompleted": True}}}, ()), OutcomeUnknown),
    ],
)
def test_only_a_clear_refusal_says_that_nothing_was_done(answer: Answer, error: type[JobError]) -> None:
    """It runs effects: anything else may not be sent again."""
    with pytest.raises(error) as raised:
        read_completion(answer, EVENT)

    assert getattr(raised.value, "may_resend", True) is (error is not OutcomeUnknown)


def effect(effect_id: str, priority: Any = 1, **changes: Any) -> dict[str, Any]:
    fields = {"name": effect_id, "effectType": "patch", "entityType": "EVENT", "entityId": EVENT, "timing": "PRE"}
    return {"id": effect_id, "priority": priority, "isActive": True, "version": 1, **fields, **changes}


def list_effects(*lists: Any, spelling: str = "EVENT") -> Any:
    """Sends nothing, and has these effects for the three times."""

    def send(name: str, each: Sequence[Mapping[str, Any]], *, key: str = "") -> Answer:
        fits = [one["entityType"] == spelling for one in each]
        return Answer({f"a{n}": found if fits[n] else [] for n, found in enumerate(lists)}, ())

    return send


@pytest.mark.parametrize("spelling", ["EVENT", "event"])
def test_effects_come_in_the_order_of_their_execution(spelling: str) -> None:
    """By timing, then by priority, then as they are listed; however the main API spells what they hang on."""
    send = list_effects(
        [effect("b", 2), effect("a", 1), effect("c", 2)],
        [effect("d", 9, timing="ON_RESOLVE")],
        [effect("e", 0, timing="POST")],
        spelling=spelling,
    )

    assert [one.id for one in effects_of(EVENT, send)] == ["a", "b", "c", "d", "e"]


def test_an_effect_is_read_once_and_has_a_known_time() -> None:
    """Its own; if it names none, that of its list."""
    odd = effect("odd", timing="a\0 time of its own")
    late, early = effect("late", timing="POST"), effect("early")
    found = effects_of(EVENT, list_effects([late, early], [late, odd, early], [late]))

    assert [(one.id, one.timing) for one in found] == [("early", "PRE"), ("odd", "ON_RESOLVE"), ("late", "POST")]


@pytest.mark.parametrize("odd", [[effect("b", "high")], [None], None, "x"])
def test_an_effect_that_cannot_be_read_is_not_left_out(odd: Any) -> None:
    """The event would be completed without it."""
    with pytest.raises(JobError):
        effects_of(EVENT, list_effects([effect("a")], odd, []))
