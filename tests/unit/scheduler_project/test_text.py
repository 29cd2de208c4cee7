"""Text from outside: whatever it holds, the result can be stored, encoded and read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_project import text
from tests.support.texts import ANY, JSON


@given(ANY)
def test_cleaning_keeps_storable_text(any_text: str) -> None:
    """And cleaning twice changes nothing more."""
    plain = text.plain(any_text)

    assert text.fits_postgresql(plain)
    assert plain.encode().decode() == plain
    assert "\0" not in plain
    assert text.plain(plain) == plain
    assert (plain == any_text) is text.fits_postgresql(any_text)


@given(ANY, st.integers(100, 300))
def test_bounded_text_respects_its_limit(any_text: str, limit: int) -> None:
    """Short text stays whole; a cut is marked, with head and tail around it."""
    long = any_text * (1 + limit // max(1, len(any_text)))
    for one in (any_text, long):
        cut = text.shorten(one, limit)
        assert len(cut) <= limit
        assert text.fits_postgresql(cut)
        assert (" characters cut … " in cut) is (len(one) > limit) or " characters cut … " in one


@given(ANY, st.integers(1, 300))
def test_a_line_respects_its_limit(any_text: str, limit: int) -> None:
    """Without white space around it."""
    line = text.line(any_text, limit)

    assert len(line) <= limit
    assert text.fits_postgresql(line)
    assert line[:1] == line[:1].strip()


def test_a_cut_leaves_no_half_word() -> None:
    """Part of a secret would not be recognised, and so not masked."""
    secret = "redis://u:hunter2-hunter2@h/0"
    for shift in range(120):
        cut = text.shorten("a " * 40 + "x" * shift + f" {secret} " + "b " * 2000, 200)
        assert "hunter2" not in cut or secret in cut


@given(JSON)
def test_cleaned_json_can_be_stored(value: Any) -> None:
    """Every string and key at any depth, in order; the rest and the argument are unchanged."""
    before = json.dumps(value)
    cleaned = text.clean(value)

    assert json.dumps(value) == before
    assert all(map(text.fits_postgresql, _strings(cleaned)))
    assert json.loads(text.as_json(value)) == cleaned
    if all(map(text.fits_postgresql, _strings(value))):
        assert cleaned == value


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [s for pair in value.items() for one in pair for s in _strings(one)]
    return [s for one in value for s in _strings(one)] if isinstance(value, list) else []


def test_nesting_depth_does_not_matter() -> None:
    """Others decide how deep their JSON is."""
    deep: Any = "\0"
    for _ in range(100_000):
        deep = [deep]

    found = text.clean(deep)
    while isinstance(found, list):
        (found,) = found
    assert found == "\ufffd"


@given(ANY)
def test_an_answer_keeps_its_ids_and_variables(any_text: str) -> None:
    """A changed ID would be another one; variables go back to the main API as they came."""
    answer = {"id": any_text, "name": any_text, "kingdomId": any_text, "variables": {"x": any_text}}
    plain = text.plain(any_text)

    assert text.clean_answer([answer]) == [{**answer, "name": plain}]


@pytest.mark.parametrize(
    ("one", "usable"),
    [
        ("", False),
        ("x" * 255, True),
        ("x" * 256, False),
        ("🏰" * 255, True),
        ("a\0", False),
        ("\udff0", False),
        (" a/b?c#d%e:'\"<&>\n", True),
    ],
)
def test_ids_may_have_255_characters(one: str, usable: bool) -> None:
    """Of any script."""
    assert text.is_id(one) is usable


@given(ANY)
def test_a_request_id_fits_into_a_header(any_text: str) -> None:
    """An accepted one needs no encoding and breaks no line."""
    if text.is_request_id(any_text):
        assert any_text.encode("ascii").decode() == any_text
        assert any_text.isprintable()
        assert " " not in any_text


def test_an_escaped_escape_is_kept() -> None:
    """A backslash followed by u0000 can be stored."""
    assert json.loads(text.as_json({"a": "\\u0000"})) == {"a": "\\u0000"}
    assert json.loads(text.as_json({"a": "\0"})) == {"a": "\ufffd"}
