"""Text from outside: which characters and how many of them databases and pages accept. All such rules are here.

PostgreSQL stores neither NUL nor lone surrogates (half a pair, as JavaScript leaves when it cuts an emoji), UTF-8
cannot encode the latter, and nobody reads an error of five megabytes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    StrOrPromise = str | _StrPromise
else:
    StrOrPromise = str  #: a text, or one that is translated when a page shows it (gettext_lazy)

LONGEST_ID: Final = 255  #: of the contract's IDs; an entity with a longer one is left out and logged
LONGEST_SUBJECT: Final = 400  #: of a job: an ID and an event; never cut, because it is part of the job's identity
LONGEST_NAME: Final = 255  #: of campaigns, settlements and structures; longer ones are cut
LONGEST_REASON: Final = 1_000
LONGEST_ERROR: Final = 4_000
LONGEST_TRACEBACK: Final = 20_000
LONGEST_RESULT: Final = 65_536  #: characters of a job's result as JSON
LONGEST_REQUEST_ID: Final = 64
REPLACEMENT: Final = "\ufffd"
_WORD: Final = 200  # how far a cut moves to a word boundary, so that it leaves no half of a secret


def fits_postgresql(text: str) -> bool:
    """Return whether every database can store `text` unchanged.

    >>> fits_postgresql("Zürich 🏰"), fits_postgresql("a\\0b"), fits_postgresql("\\ud83c")
    (True, False, False)
    """
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def is_id(text: str) -> bool:
    """Return whether `text` can be the ID of a campaign or an entity."""
    return 0 < len(text) <= LONGEST_ID and fits_postgresql(text)


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
    return job_id(text) is not None


def is_request_id(text: str) -> bool:
    """Return whether `text` can be passed on in a request's header.

    >>> is_request_id("req-1.a:b/c=d"), is_request_id("é"), is_request_id("a b"), is_request_id("")
    (True, False, False, False)
    """
    return 0 < len(text) <= LONGEST_REQUEST_ID and text.isascii() and all(c.isalnum() or c in "_.:+/=-" for c in text)


def plain(text: str) -> str:
    """Replace each character that some database cannot store.

    >>> plain("River\\0ton \\ud83c")
    'River\ufffdton \ufffd'
    """
    if fits_postgresql(text):
        return text
    # "surrogatepass" joins a pair in two halves to one character; "replace" marks lone ones.
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\0", REPLACEMENT)


def shorten(text: str, limit: int) -> str:
    """Shorten to plain text of at most `limit` (at least 100) characters: head, number of cut characters, tail.

    >>> shorten("x" * 1_000_000, 100)[40:80]
    'xxxxxx … 999,931 characters cut … xxxxxx'
    """
    if len(text) <= limit:
        return plain(text)
    room = limit - len(f" … {len(text):,} characters cut … ")
    head, tail = _head(text, room * 2 // 3), _tail(text, room // 3)
    cut = len(text) - len(head) - len(tail)
    return plain(f"{head} … {cut:,} characters cut … {tail}")


def _head(text: str, length: int) -> str:
    """Return the beginning, cut at a nearby word boundary if there is one."""
    head = text[:length]
    for position in range(length, max(length - _WORD, length // 2), -1):
        if text[position].isspace():
            return text[:position]
    return head


def _tail(text: str, length: int) -> str:
    """Return the end, cut at a nearby word boundary if there is one."""
    start = len(text) - length
    for position in range(start, min(start + _WORD, len(text) - length // 2)):
        if text[position - 1].isspace():
            return text[position:]
    return text[start:]


def of_error(error: BaseException, clean: Callable[[str], str] = plain) -> str:
    """Format an error as class and message, bounded; `clean` gets all of it, before a cut could halve a secret.

    >>> of_error(ValueError("no"))
    'ValueError: no'
    """
    return shorten(clean(f"{type(error).__name__}: {error}"), LONGEST_ERROR)


def readable(error: BaseException) -> BaseException:
    """Return the error, or a RuntimeError with its class and traceback if its `__str__` fails."""
    try:
        str(error)
    except Exception as worse:  # noqa: BLE001 - anybody's __str__
        message = f"{type(error).__name__}, whose message cannot be read ({type(worse).__name__})"
        return RuntimeError(message).with_traceback(error.__traceback__)
    return error


def line(text: str, limit: int) -> str:
    """Clean a short text, such as a reason or a name: plain, stripped, at most `limit` characters.

    >>> line("  because\\0 ", 500), line("a" * 300, 5)
    ('because\ufffd', 'aaaa…')
    """
    stripped = plain(text.strip() if len(text) <= limit * 4 else text[: limit * 4].strip())
    return stripped if len(stripped) <= limit else f"{stripped[: limit - 1]}…"


def as_name(text: str) -> str:
    """Shorten `text` to what a name's column holds.

    >>> as_name("River\\0ton")
    'River\ufffdton'
    """
    return line(text, LONGEST_NAME)


def clean(value: Any, keep: Callable[[Any], bool] = lambda _key: False) -> Any:
    """Make every string of decoded JSON plain, keys too, at any depth, except values under a key that `keep` accepts.

    >>> clean({"name": "\\ud83c", "n": [1, "a\\0"]})
    {'name': '\ufffd', 'n': [1, 'a\ufffd']}
    >>> clean({"names": ("\\ud83c",)})
    {'names': ['\ufffd']}
    """
    root: list[Any] = [value]
    todo: list[Any] = [root]  # no recursion, because the sender decides the depth
    while todo:
        holder = todo.pop()
        named = isinstance(holder, dict)
        for key, one in list(holder.items() if named else enumerate(holder)):
            if named and keep(key):
                continue
            if isinstance(one, str):
                holder[key] = plain(one)
            elif isinstance(one, dict | list | tuple):
                holder[key] = _copy(one)
                todo.append(holder[key])
    return root[0]


def _copy(value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> dict[Any, Any] | list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    return {plain(key) if isinstance(key, str) else key: one for key, one in value.items()}


def flaw_of(value: Any) -> str:
    """Why some database would refuse this decoded JSON; empty if none would.

    >>> flaw_of({"a": ["\\ud83c"]}), flaw_of({"a\\0": 1}), flaw_of({"a": ("\\0",)}), flaw_of({"a": ("\\\\u0000",)})
    ('holds half of a surrogate pair', 'holds a NUL character', 'holds a NUL character', '')
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    except RecursionError:
        return "is nested too deeply"
    if b"\\u0000" not in encoded:
        return ""
    found = msgspec.json.decode(encoded)  # a backslash in a text, with u0000 behind it, is encoded alike
    return "holds a NUL character" if clean(found) != found else ""


def clean_answer(value: Any) -> Any:
    """Make every string of a main API answer plain, except IDs and variables.

    A changed ID would be another ID: readers of lists use `is_id`, and leave out and log what fails it. Variables are
    written back as they came.

    >>> clean_answer({"id": "a\\0", "name": "a\\0", "variables": {"note": "a\\0"}})
    {'id': 'a\\x00', 'name': 'a\ufffd', 'variables': {'note': 'a\\x00'}}
    """
    return clean(value, keep=lambda key: key in ("id", "variables") or (isinstance(key, str) and key.endswith("Id")))


def as_json(value: Any) -> str:
    """Encode `value` as JSON that every database can store, with all strings plain.

    Raises TypeError, ValueError, OverflowError or RecursionError if `value` cannot be JSON.
    """
    try:
        encoded = msgspec.json.encode(value).decode()
        if "\\u0000" not in encoded:  # the escape of NUL, or literal text that looks like it
            return encoded
    except UnicodeEncodeError:
        pass
    return msgspec.json.encode(clean(msgspec.to_builtins(value))).decode()
