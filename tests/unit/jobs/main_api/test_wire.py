"""JSON to and from the main API."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.main_api import wire
from jobs.world.exact import exact
from jobs.world.growth import GrowthType, grow
from jobs.world.variables import is_number

NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,25})?", fullmatch=True)


@given(NUMBER)
def test_a_number_keeps_its_value_on_its_way_through(text: str) -> None:
    """What is read and written back is the same number, however many digits it has."""
    sent = wire.encode(wire.decode(f'{{"variables": {{"x": {text}}}}}'.encode())).decode()
    written = sent.removeprefix('{"variables":{"x":').removesuffix("}}")

    assert written == text or Decimal(written) == Decimal(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_value_error(body: bytes) -> None:
    """No other exception is raised."""
    try:
        wire.decode(body)
    except ValueError:
        return


JSON_TEXT = st.recursive(
    NUMBER
    | st.sampled_from(["null", "true", "false", "NaN", "-Infinity", "-0", "-0.0", "1.0", "9" * 4400])
    | st.text().map(json.dumps)
    | st.text().map(lambda text: json.dumps(text, ensure_ascii=False)),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{' , '.join(each)}]")
        | st.lists(st.tuples(st.text(max_size=3).map(json.dumps), inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)


@given(JSON_TEXT, st.integers(0, 200), st.binary(max_size=2))
def test_both_ways_to_read_find_the_same(text: str, at: int, inserted: bytes) -> None:
    """What looks for keys that occur twice reads each text by Python's own decoder."""
    body = text.encode("utf-8", "surrogatepass")
    body = body[:at] + inserted + body[at:]
    try:
        expected = repr(wire.decode(body, unique_keys=True))
    except wire.KeyTwice:
        return
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
            wire.decode(body)
        return
    assert repr(wire.decode(body)) == expected


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "L"])))
def test_texts_can_be_stored_and_variables_go_back_as_they_came(text: str) -> None:
    """Half a surrogate pair is replaced; a player's own values are not touched."""
    body = json.dumps({"name": text, "variables": {"motto": text}}).encode()
    found = wire.decode(body)

    assert found["variables"]["motto"] == text
    assert "\0" not in found["name"]
    assert found["name"].encode().decode() == found["name"]
    assert len(found["name"]) == len(text)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000, b'"\\ud83c', b"\xff\xfe", b"nul"])
def test_odd_bodies_are_rejected(body: bytes) -> None:
    """As invalid JSON, without a crash."""
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
        wire.decode(body)


def test_a_text_cannot_pass_for_a_number() -> None:
    """Text stays text, whatever it looks like."""
    payload: dict[str, Any] = {"text": '":1e400:"', "number": Decimal("1E+400"), "raw": wire.RawNumber("1e99999999999")}

    assert json.loads(wire.encode(payload), parse_float=str) == {
        "text": '":1e400:"',
        "number": "1E+400",
        "raw": "1e99999999999",
    }


@given(NUMBER)
def test_rules_calculate_with_any_number_or_take_the_default(text: str) -> None:
    """`1e400` is left as it is, and the default applies."""
    value = wire.decode(text.encode())
    variables = {
        "population": value,
        "populationGrowthRate": value,
        "populationCap": value,
        "resources": {"food": value},
        "generationRates": {"food": value},
    }

    for growth in GrowthType:
        grow(growth, level=1, variables=dict(variables), structures=[], occurrences=3)
    if is_number(value):
        assert exact(value) == exact(value)


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_no_number_goes_out_that_is_no_json(name: str) -> None:
    """It comes in as JavaScript writes it, and our own is refused before anything is sent."""
    assert wire.decode(f'{{"x": {name}}}'.encode()) == {"x": None}
    with pytest.raises(ValueError, match="JSON"):
        wire.encode({"x": float(name)})
