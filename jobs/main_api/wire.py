"""JSON to and from the main API: numbers keep all their digits, and an invalid byte spoils only its own text."""

import json
import re
import secrets
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from math import isfinite
from typing import Any, Final

import msgspec

from scheduler_project.text import clean_answer

#: An escaped NUL or surrogate, or a raw NUL; only bodies with one are cleaned.
_SUSPECT: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\x00")


class NestedTooDeeply(ValueError):
    """JSON with more levels than Python's decoder takes, about a thousand."""


class KeyTwice(ValueError):
    """JSON with a key twice in one object: readers differ in which of the two counts."""


@dataclass(frozen=True, slots=True)
class RawNumber:
    """A number that Python cannot represent; it is sent back with the same digits."""

    text: str


def decode(body: bytes, *, unique_keys: bool = False) -> Any:
    """Parse JSON; replace invalid UTF-8, and characters that no database stores (except in IDs and variables), by
    U+FFFD.

    A number that no float or int equals exactly becomes a Decimal or, if its exponent is too large, a RawNumber.
    Raises ValueError if `body` is not JSON or nested too deeply or, with `unique_keys`, if an object has a key twice.
    """
    try:
        found = _decode_leniently(body, unique_keys) if unique_keys else _decode(body)
        return clean_answer(found) if _SUSPECT.search(body) else found
    except RecursionError:
        raise NestedTooDeeply("the answer is nested too deeply") from None


def _decode(body: bytes) -> Any:
    """Take a third of the time for JSON as the standard has it; read the rest as JavaScript and players write it."""
    try:
        return _STRICT.decode(body)
    except (ValueError, RecursionError):
        return _decode_leniently(body, unique_keys=False)


def _decode_leniently(body: bytes, unique_keys: bool) -> Any:
    text = body.decode("utf-8-sig", "replace")
    pairs = _unique if unique_keys else None
    read = partial(json.loads, text, parse_float=_number, parse_constant=_no_number, object_pairs_hook=pairs)
    try:
        return read()
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError | KeyTwice):
            raise
        return read(parse_int=_integer)  # an int of more than 4,300 digits


def encode(payload: object, *, sort_keys: bool = False) -> bytes:
    """Encode `payload` as JSON; numbers from `decode` keep their digits.

    Raises TypeError for values that JSON cannot represent.
    """
    mark = ""

    def number(value: object) -> str:
        nonlocal mark
        if not isinstance(value, Decimal | RawNumber):
            raise TypeError(f"JSON cannot hold {type(value).__name__}")
        mark = mark or secrets.token_hex(8)  # random, so that no text can contain it
        return f"{mark}:{value.text if isinstance(value, RawNumber) else value}:{mark}"

    text = json.dumps(payload, separators=(",", ":"), default=number, sort_keys=sort_keys, allow_nan=False)
    return (re.sub(f'"{mark}:([^":]*):{mark}"', r"\1", text) if mark else text).encode()


def encode_unsent(payload: object) -> bytes:
    """Encode `payload` as JSON to measure or compare it: in a fifth of the time of `encode`, with sorted keys.

    Texts and floats may look otherwise than they are sent, and what JSON cannot hold is no error.
    """
    try:
        return _UNSENT.encode(payload)
    except (TypeError, ValueError, OverflowError):  # halves of surrogate pairs, integers of more than 64 bits
        return encode(payload, sort_keys=True)


def _as_text(value: object) -> str:
    if isinstance(value, RawNumber):
        return value.text
    raise TypeError(f"JSON cannot hold {type(value).__name__}")


def _number(text: str) -> float | Decimal | RawNumber:
    value = float(text)
    if repr(value) == text:
        return value
    try:
        exact = Decimal(text)
    except ArithmeticError:
        return RawNumber(text)
    return value if isfinite(value) and Decimal(repr(value)) == exact else exact


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise KeyTwice("a key occurs twice in an object")
    return found


def _no_number(_name: str) -> None:
    """NaN and Infinity are no JSON; JavaScript writes null for them."""


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= 4300 else Decimal(text)


_STRICT: Final = msgspec.json.Decoder(float_hook=_number)
_UNSENT: Final = msgspec.json.Encoder(enc_hook=_as_text, decimal_format="number", order="sorted")
