"""The law of log lines, for a process of its own: each is JSON without a secret, whatever the secrets and events."""

import io
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any, NoReturn

import structlog
from hypothesis import given
from hypothesis import strategies as st

from scheduler_project.logs import SHORTEST_SECRET, configure_logging
from tests.support.examples import examples
from tests.support.texts import ANY

DIGITS = st.text("0123456789", min_size=SHORTEST_SECRET, max_size=12)
NASTY = st.sampled_from(
    ['", "a": "', '{"timestamp', "timestamp", "message", "******", '\\\\"\\\\"\\\\"', "er ***", "null, null", "2026-1"]
)
SECRETS = st.lists(DIGITS | NASTY | ANY.filter(lambda text: len(text) >= SHORTEST_SECRET), min_size=1, max_size=4)


class Odd:
    """What JSON does not have, with a secret in its repr; or none at all."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        if self._text.startswith("1"):
            raise ValueError(self._text)
        return self._text


def values(secrets: list[str]) -> st.SearchStrategy[Any]:
    secret = st.sampled_from(secrets)
    text = st.builds("{}{}{}".format, ANY, secret, ANY) | st.builds("bearer\n{}".format, secret)
    number = st.sampled_from([int(one) for one in secrets if one.isascii() and one.isdecimal()] or [0])
    numbers = (
        number
        | number.map(lambda one: one / 1000)
        | st.floats()
        | st.integers()
        | st.just(5000).map(lambda digits: 10**digits)
    )
    plain = text | numbers | st.booleans() | st.none() | text.map(Odd)
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text | numbers, inner, max_size=3),
        max_leaves=8,
    )


def texts(value: Any) -> Iterator[str]:
    """All names and values."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from (name, *texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


@examples(150)
@given(st.data())
def hold(data: st.DataObject) -> None:
    """The law."""
    secrets = data.draw(SECRETS)
    fields = data.draw(
        st.dictionaries(st.text("ab_", min_size=1) | st.sampled_from(secrets), values(secrets), max_size=4)
    )
    printed = io.StringIO()
    with redirect_stdout(printed):
        configure_logging("info", as_json=True, secrets=secrets)
        log = structlog.get_logger("Worker")
        log.info(data.draw(ANY), **fields)
        try:
            raise ValueError(secrets[0])
        except ValueError:
            log.exception("failed")
    lines = printed.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        found = json.loads(line, parse_constant=refuse)
        assert list(found)[:4] == ["timestamp", "level", "message", "context"]
        said = [*texts(list(found.values())), *list(found)[4:]]
        assert not [one for one in said for secret in secrets if secret in one], (said, secrets)


if __name__ == "__main__":
    try:
        hold()
    except Exception:  # noqa: BLE001 - the process logs it, to nowhere
        sys.exit(traceback.format_exc())
