"""How much text each channel takes, and the one function that cuts to it.

A service that gets more refuses the whole message or cuts it without a word. What has no source is a limit of our own.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext

from scheduler_project.numbers import format_number
from scheduler_project.text import plain

Size = Callable[[str], int]
_ZERO_WIDTH_JOINER: Final = "\u200d"
_FARTHEST: Final = 32  #: characters that a cut moves back; more marks than that on one letter are no text


def characters(text: str) -> int:
    """Count as most services do: a character outside the Basic Multilingual Plane is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf8(text: str) -> int:
    return len(text.encode(errors="replace"))


def in_json(text: str) -> int:
    """Count the bytes of `text` in a JSON body, with what is escaped."""
    return len(as_body(text))


@dataclass(frozen=True, slots=True)
class Limit:
    size: int
    of: Size = characters


#: A header's line has at most 998 octets (RFC 5322, 2.1.1); longer ones are folded, and Outlook shows 255 characters.
MAIL_SUBJECT: Final = Limit(250)
MAIL_BODY: Final = Limit(1_000_000, utf8)
#: Slack: `text` is cut at 40,000 characters; a section of more than 3,000 is refused (Block Kit reference).
SLACK_TEXT: Final = Limit(40_000)
SLACK_SECTION: Final = Limit(3_000)
#: PagerDuty, Events API v2: a summary of 1,024 characters, a key of 255; an event of 512 kB, above that HTTP 413.
PAGERDUTY_SUMMARY: Final = Limit(1_024)
PAGERDUTY_KEY: Final = Limit(255)
PAGERDUTY_EVENT: Final = Limit(512_000, utf8)
#: nginx refuses bodies of more than 1 MiB unless it is told otherwise.
WEBHOOK_BODY: Final = Limit(1_000_000, utf8)
#: Apprise knows the limits of its services: `body_maxlen` and `title_maxlen` of each.


def cut(text: str, limit: Limit) -> str:
    """Return plain text within `limit`; a longer one ends with how many characters are missing.

    >>> cut("x" * 100, Limit(40))
    'xxxxxxxxxxxxx… (87 more characters cut)'
    >>> cut("🏰" * 100, Limit(40))
    '🏰🏰🏰🏰🏰🏰… (94 more characters cut)'
    """
    text = plain(text)
    if limit.of(text) <= limit.size:
        return text
    end = next((end for end in (_ending(len(text)), "…") if limit.of(end) <= limit.size), "")
    head = text[: _fitting_length(text, limit.size - limit.of(end), limit.of)]
    return head + (_ending(len(text) - len(head)) if len(end) > 1 else end)


def _ending(cut_off: int) -> str:
    return gettext("… (%(count)s more characters cut)") % {"count": format_number(cut_off)}


def _fitting_length(text: str, room: int, size: Size) -> int:
    """Return the length of the longest beginning within `room` that splits no character as a reader sees it."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= room else (low, middle - 1)
    for at in range(low, max(0, low - _FARTHEST), -1):
        if not _belongs_together(text, at):
            return at
    return low if low > _FARTHEST else 0


def _belongs_together(text: str, at: int) -> bool:
    """Return whether the character at `at` is a part of the one before it: an accent, a skin tone, half a flag."""
    if at >= len(text):
        return False
    before, after = text[at - 1], text[at]
    if _is_flag(before) and _is_flag(after):
        run = re.search("[\U0001f1e6-\U0001f1ff]+$", text[max(0, at - _FARTHEST) : at])
        return run is not None and len(run[0]) % 2 == 1
    joins = unicodedata.category(after) in ("Mn", "Mc", "Me") or "\U0001f3fb" <= after <= "\U0001f3ff"
    return joins or _ZERO_WIDTH_JOINER in (before, after)


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def as_body(value: Any) -> bytes:
    """Encode as compact JSON in UTF-8: escapes would make six bytes of each letter of other alphabets."""
    return json.dumps(value, separators=(",", ":"), default=str, ensure_ascii=False).encode(errors="replace")


def fit(value: Mapping[str, Any], limit: Limit, *, among: tuple[str, ...]) -> dict[str, Any]:
    """Return `value`, with the largest members of `among` cut, as text, until its JSON is within `limit`."""
    fitting = dict(value)
    while among and (over := len(as_body(fitting)) - limit.size) > 0:
        sizes = {name: len(as_body(fitting[name])) for name in among}
        name = max(sizes, key=lambda each: sizes[each])
        text = fitting[name] if isinstance(fitting[name], str) else as_body(fitting[name]).decode()
        room = max(0, sizes[name] - over)
        fitting[name] = cut(text, Limit(room, in_json)) if room else ""
        among = tuple(each for each in among if each != name)
    return fitting
