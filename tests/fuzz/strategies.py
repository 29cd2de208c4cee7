"""Inputs from outside: arbitrary ones, and almost valid ones."""

import json
from typing import Any, Final

from hypothesis import strategies as st

from tests.support.answers import EXECUTED, UNCLEAR, UNDERSTOOD
from tests.support.texts import ANY, JSON

#: Values that have broken something somewhere.
ODD: Final = st.sampled_from(
    [
        "",
        " ",
        "\0",
        "\ud83c",
        "💥",
        "null",
        "true",
        "-1",
        "0",
        "1e400",
        "NaN",
        "∞",
        "\uff19",
        "\uff11\uff12",
        "\u0663",
        "9" * 400,
        "x" * 5000,
        "2026-01-01T00:00:00Z",
        "2026-02-30T25:61:61+99:99",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "../../etc/passwd",
        "{{ 7 * 7 }}",
        "%s%n",
        "' OR 1=1 --",
        "<script>",
        "\u202e",
        "a\r\nX-Evil: 1",
        "=1+1",
        "*/61 * * * *",
        "00000000-0000-0000-0000-000000000000",
        "all",
        "[",
        '{"a":',
        "\ufeff",
        "Europe",
        "http://[::1",
        "redis://:0",
    ]
)
TEXT: Final = ANY | ODD
LATIN: Final = TEXT.map(lambda text: text.encode("latin-1", "replace").decode("latin-1"))
#: What a JSON parser may read as numbers, too.
LITERALS: Final = st.sampled_from(["1e400", "-0", "NaN", "Infinity", "1" * 5000, "[" * 5000, '"\\ud83c"', "{}{}", ""])

_CODES: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [
        "NOT_FOUND",
        "BAD_USER_INPUT",
        "BAD_REQUEST",
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "OPTIMISTIC_LOCK",
        "CONFLICT",
        "INTERNAL_SERVER_ERROR",
        "TOO_MANY_REQUESTS",
        "",
        7,
        None,
        [],
    ]
)
_PATH: Final = st.none() | st.lists(
    st.sampled_from(["executeEffect", "success", "settlement", 0, -1]) | JSON, max_size=3
)
_ERROR: Final = JSON | st.fixed_dictionaries(
    {}, optional={"message": JSON, "path": _PATH, "extensions": JSON | st.fixed_dictionaries({"code": _CODES | JSON})}
)
_EXECUTION: Final = JSON | st.fixed_dictionaries(
    {}, optional={name: st.just(value) | JSON for name, value in EXECUTED.items()}
)
STATUS: Final = st.sampled_from(
    [200, 200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 599]
)


def _dump(found: Any) -> bytes:
    return json.dumps(found).encode()


def answers(field: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Bodies of answers to a request for `field`: nearly right, odd, or nothing like it."""
    data = st.fixed_dictionaries({}, optional={field: value | JSON}) | JSON
    errors = st.lists(_ERROR, max_size=3) | JSON
    whole = st.fixed_dictionaries({}, optional={"data": data, "errors": errors, "extensions": JSON})
    known = [
        bytes(reply.get("body", ""), "utf-8", "surrogatepass") for reply in [*UNCLEAR.values(), *UNDERSTOOD.values()]
    ]
    small = [body for body in known if len(body) < 10_000]
    cut = st.builds(lambda body, at: body[:at], whole.map(_dump), st.integers(0, 300))
    literal = st.builds(lambda text: f'{{"data":{{"{field}":{text}}}}}'.encode(), LITERALS)
    return whole.map(_dump) | whole.map(_dump) | st.binary(max_size=80) | st.sampled_from(small) | cut | literal


EXECUTIONS: Final = answers("executeEffect", _EXECUTION)
