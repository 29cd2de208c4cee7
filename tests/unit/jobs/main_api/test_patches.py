"""Whether the main API can tell which patch an effect has applied."""

from types import SimpleNamespace
from typing import Any

import pytest

from jobs.errors import TransientError
from jobs.main_api.answers import Answer
from jobs.main_api.errors import FieldError
from jobs.main_api.learning import BELIEVED_S, DOUBTED_S
from jobs.main_api.model import EffectExecution
from jobs.main_api.patches import PROBE, QUERY, Patches

GONE = FieldError('Cannot query field "patchApplied" on type "EffectExecutionResult".', "", ())


def schema(*fields: str) -> Answer:
    return Answer({"__type": {"fields": [{"name": one} for one in fields]}})


@pytest.mark.parametrize(
    ("answer", "served"),
    [
        (schema("success", "patchApplied"), True),
        (schema("success"), False),
        (Answer({"__type": None}), False),
        (Answer({"__type": {"fields": "all"}}), False),
    ],
)
def test_the_schema_tells_whether_patches_can_be_read(answer: Answer, served: bool) -> None:
    """It is read once."""
    asked: list[str] = []

    def ask(name: str, _document: str, _variables: Any) -> Answer:
        asked.append(name)
        return answer

    patches = Patches(ask)

    assert [patches.are_served(), patches.are_served()] == [served, served]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("probed", "served", "believed_s"),
    [
        (Answer({}), True, BELIEVED_S),
        (Answer({"executeEffect": None}), True, BELIEVED_S),
        (Answer({}, (GONE,)), False, BELIEVED_S),
        (Answer({}, (FieldError("Forbidden resource", "", ()),)), False, DOUBTED_S),
        (TransientError("timed out"), False, DOUBTED_S),
    ],
)
def test_without_introspection_a_validated_request_tells(
    monkeypatch: pytest.MonkeyPatch, probed: Answer | TransientError, served: bool, believed_s: float
) -> None:
    """It executes nothing. An answer that tells nothing counts for a minute."""
    off = Answer({}, (FieldError("GraphQL introspection is not allowed by Apollo Server", "", ()),))
    now, asked = [0.0], list[str]()
    monkeypatch.setattr("jobs.main_api.patches.time", SimpleNamespace(monotonic=lambda: now[0]))

    def ask(_name: str, document: str, _variables: Any) -> Answer:
        asked.append(document)
        if document == PROBE and isinstance(probed, TransientError):
            raise probed
        return probed if document == PROBE and isinstance(probed, Answer) else off

    patches = Patches(ask)
    for at in (0.0, believed_s - 1.0, believed_s + 1.0):
        now[0] = at
        assert patches.are_served() is served

    assert asked == [QUERY, PROBE] * 2


def test_an_unknown_patch_field_is_not_requested() -> None:
    """A failed introspection is no fault of the effect."""

    def ask(*_: Any) -> Answer:
        raise TransientError("timed out")

    assert Patches(ask).are_served() is False


def test_a_removed_patch_field_is_forgotten() -> None:
    """Only if the message says so and nothing was answered."""
    patches = Patches(lambda *_: schema("patchApplied"))
    assert patches.are_served()

    assert not patches.note_refused(Answer({}, (FieldError("boom", "", ()),)))
    assert not patches.note_refused(Answer({"executeEffect": {"success": True}}, (GONE,)))
    assert patches.note_refused(Answer({}, (GONE,)))
    assert not patches.are_served()


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ({"affectedFields": ["level"], "patchApplied": [{"path": "/name"}]}, ["level"]),
        (
            {"affectedFields": None, "patchApplied": [{"op": "replace", "path": "/variables/a"}, 7, {"op": "test"}]},
            ["variables.a"],
        ),
        ({"affectedFields": [], "patchApplied": {"level": 2}}, ["level"]),
        ({"affectedFields": [], "patchApplied": "all"}, []),
        ({"affectedFields": None}, None),
    ],
)
def test_patches_and_affected_fields_are_shown(answer: dict[str, Any], fields: list[str] | None) -> None:
    assert EffectExecution.of(answer).affected_fields == fields
