"""Text from outside: what the databases and the pages can take of it, and how much.

PostgreSQL stores neither NUL characters nor lone surrogates (half a pair, as JavaScript leaves when it cuts an emoji),
UTF-8 cannot encode the latter, and nobody reads an error of five megabytes. Every rule about that stands here.
"""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import msgspec

LONGEST_ID: Final = 255  #: of the contract's ids; what is longer costs itself and is named
LONGEST_SUBJECT: Final = 400  #: of a job: an id, and what is due of it; never cut, for it tells two works apart
LONGEST_NAME: Final = 255  #: of campaigns, settlements and structures; a longer one is cut
LONGEST_REASON: Final = 1_000
LONGEST_ERROR: Final = 4_000
LONGEST_TRACEBACK: Final = 20_000
LONGEST_RESULT: Final = 65_536  #: characters of a job's result as JSON
LONGEST_REQUEST_ID: Final = 64
REPLACEMENT: Final = "\ufffd"
_WORD: Final = 200  # characters that a cut goes back, so that no half of a secret is left where it ends


def is_storable(text: str) -> bool:
    """Whether every database takes `text` as it is.

    >>> is_storable("Zürich 🏰"), is_storable("a\\0b"), is_storable("\\ud83c")
    (True, False, False)
    """
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a campaign or an entity."""
    return 0 < len(text) <= LONGEST_ID and is_storable(text)


def job_id(text: str) -> UUID | None:
    """The id of a job as a person, an address or Redis has it; None where `text` is none.

    >>> job_id("0190F1C2-0000-7000-8000-000000000000"), job_id("x")
    (UUID('0190f1c2-0000-7000-8000-000000000000'), None)
    """
    try:
        return UUID(text)
    except ValueError:
        return None


def is_job_id(text: str) -> bool:
    """Whether `text` can be the id of a job."""
    return job_id(text) is not None


def is_request_id(text: str) -> bool:
    """Whether `text` can stand in a header of the next request, as it came in one of the last.

    >>> is_request_id("req-1.a:b/c=d"), is_request_id("é"), is_request_id("a b"), is_request_id("")
    (True, False, False, False)
    """
    return 0 < len(text) <= LONGEST_REQUEST_ID and text.isascii() and all(c.isalnum() or c in "_.:+/=-" for c in text)


def plain(text: str) -> str:
    """`text` with a replacement character for each character that no database takes.

    >>> plain("River\\0ton \\ud83c")
    'River\ufffdton \ufffd'
    """
    if is_storable(text):
        return text
    # A pair in two halves is one character; "surrogatepass" joins it, "replace" marks what is left alone.
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\0", REPLACEMENT)


def bounded(text: str, limit: int) -> str:
    """Plain text of at most `limit` characters (from 100): head and tail, with the length of what is left out.

    >>> bounded("x" * 1_000_000, 100)[40:80]
    'xxxxxx … 999,931 characters cut … xxxxxx'
    """
    if len(text) <= limit:
        return plain(text)
    room = limit - len(f" … {len(text):,} characters cut … ")
    head, tail = _head(text, room * 2 // 3), _tail(text, room // 3)
    cut = len(text) - len(head) - len(tail)
    return plain(f"{head} … {cut:,} characters cut … {tail}")


def _head(text: str, length: int) -> str:
    """The beginning, to the end of a word where one ends near."""
    head = text[:length]
    for position in range(length, max(length - _WORD, length // 2), -1):
        if text[position].isspace():
            return text[:position]
    return head


def _tail(text: str, length: int) -> str:
    """The end, from the beginning of a word where one begins near."""
    start = len(text) - length
    for position in range(start, min(start + _WORD, len(text) - length // 2)):
        if text[position - 1].isspace():
            return text[position:]
    return text[start:]


def of_error(error: BaseException) -> str:
    """Class and message, bounded.

    >>> of_error(ValueError("no"))
    'ValueError: no'
    """
    return bounded(f"{type(error).__name__}: {error}", LONGEST_ERROR)


def readable(error: BaseException) -> BaseException:
    """The error; or, where its `__str__` fails, one with its class and traceback that says so."""
    try:
        str(error)
    except Exception as worse:  # noqa: BLE001 - anybody's __str__
        words = f"{type(error).__name__}, whose message cannot be read ({type(worse).__name__})"
        return RuntimeError(words).with_traceback(error.__traceback__)
    return error


def line(text: str, limit: int) -> str:
    """A reason, a name or a note: plain, without space around it, and of at most `limit` characters.

    >>> line("  because\\0 ", 500), line("a" * 300, 5)
    ('because\ufffd', 'aaaa…')
    """
    stripped = plain(text.strip() if len(text) <= limit * 4 else text[: limit * 4].strip())
    return stripped if len(stripped) <= limit else f"{stripped[: limit - 1]}…"


def as_name(text: str) -> str:
    """As much of `text` as a name's column holds.

    >>> as_name("River\\0ton")
    'River\ufffdton'
    """
    return line(text, LONGEST_NAME)


def clean(value: Any, keep: Callable[[Any], bool] = lambda _key: False) -> Any:
    """Decoded JSON with every string plain, keys too, at any depth; what lies under a key of `keep` as it is.

    >>> clean({"name": "\\ud83c", "n": [1, "a\\0"]})
    {'name': '\ufffd', 'n': [1, 'a\ufffd']}
    """
    root: list[Any] = [value]
    todo: list[Any] = [root]  # no recursion: outside decides how deep it is nested
    while todo:
        holder = todo.pop()
        named = isinstance(holder, dict)
        for key, one in list(holder.items() if named else enumerate(holder)):
            if named and keep(key):
                continue
            if isinstance(one, str):
                holder[key] = plain(one)
            elif isinstance(one, dict | list):
                holder[key] = _copy(one)
                todo.append(holder[key])
    return root[0]


def _copy(value: dict[Any, Any] | list[Any]) -> dict[Any, Any] | list[Any]:
    """A copy with plain keys."""
    if isinstance(value, list):
        return value.copy()
    return {plain(key) if isinstance(key, str) else key: one for key, one in value.items()}


def flaw_of(value: Any) -> str:
    """Why no database takes decoded JSON as it is; empty where each does.

    >>> flaw_of({"a": ["\\ud83c"]}), flaw_of({"a\\0": 1}), flaw_of({"a": "\\\\u0000"})
    ('holds half of a surrogate pair', 'holds a NUL character', '')
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    except RecursionError:
        return "is nested too deeply"
    # A backslash in a text, with u0000 behind it, is encoded alike.
    return "holds a NUL character" if b"\\u0000" in encoded and clean(value) != value else ""


def clean_answer(value: Any) -> Any:
    """An answer of the main API with every string plain but ids and variables.

    A changed id would be another one (`is_id` finds what is none, and whoever reads a list leaves it out and names
    it); variables go back as they came.

    >>> clean_answer({"id": "a\\0", "name": "a\\0", "variables": {"note": "a\\0"}})
    {'id': 'a\\x00', 'name': 'a\ufffd', 'variables': {'note': 'a\\x00'}}
    """
    return clean(value, keep=lambda key: key in ("id", "variables") or (isinstance(key, str) and key.endswith("Id")))


def as_json(value: Any) -> str:
    """`value` as JSON that every database takes: what it holds of unplain text is replaced.

    Raises TypeError, ValueError, OverflowError or RecursionError for what is no JSON.
    """
    try:
        encoded = msgspec.json.encode(value).decode()
        if "\\u0000" not in encoded:  # as NUL is written, and the text of a backslash with u0000 behind it
            return encoded
    except UnicodeEncodeError:
        pass
    return msgspec.json.encode(clean(msgspec.to_builtins(value))).decode()
