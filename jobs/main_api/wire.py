"""JSON to and from the main API: every number keeps its digits, and one odd byte costs no more than its own text."""

import json
import re
import secrets
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from scheduler_project.text import clean_answer

#: An escaped NUL or surrogate, or an encoded surrogate that `decode` has replaced: only then is an answer searched.
_SUSPECT: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\x00")


@dataclass(frozen=True, slots=True)
class RawNumber:
    """A number that Python cannot calculate with; it goes back with the digits that it came with."""

    text: str


def decode(body: bytes) -> Any:
    """JSON as Python has it; U+FFFD stands for bytes that are no UTF-8 and for what no database stores (but in ids and
    variables).

    A number that no float or int equals becomes a Decimal or, where its exponent has no bounds, a RawNumber. Raises
    ValueError where `body` is no JSON or nested too deeply to be read.
    """
    text = body.decode("utf-8-sig", "replace")
    try:
        try:
            found = json.loads(text, parse_float=_number)
        except ValueError as error:
            if isinstance(error, json.JSONDecodeError):
                raise
            found = json.loads(text, parse_float=_number, parse_int=_integer)  # an int of more than 4,300 digits
        return clean_answer(found) if _SUSPECT.search(body) else found
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode(payload: object, *, sort_keys: bool = False) -> bytes:
    """`payload` as JSON; numbers that `decode` has kept have their digits again.

    Raises TypeError for what JSON cannot hold.
    """
    mark = ""

    def number(value: object) -> str:
        nonlocal mark
        if not isinstance(value, Decimal | RawNumber):
            raise TypeError(f"JSON cannot hold {type(value).__name__}")
        mark = mark or secrets.token_hex(8)  # nobody can have it in a text of his
        return f"{mark}:{value.text if isinstance(value, RawNumber) else value}:{mark}"

    text = json.dumps(payload, separators=(",", ":"), default=number, sort_keys=sort_keys)
    return (re.sub(f'"{mark}:([^":]*):{mark}"', r"\1", text) if mark else text).encode()


def _number(text: str) -> float | Decimal | RawNumber:
    value = float(text)
    if repr(value) == text:
        return value
    try:
        exact = Decimal(text)
    except ArithmeticError:
        return RawNumber(text)
    return value if isfinite(value) and Decimal(repr(value)) == exact else exact


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= 4300 else Decimal(text)
