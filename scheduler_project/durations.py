"""How every page, log line and alert writes a duration; here because monitoring/ writes them without ops/ too."""

import re
from datetime import timedelta
from typing import Final

from django.utils.translation import gettext, gettext_noop

from scheduler_project.numbers import format_number

_UNITS: Final = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
_IN_WORDS: Final = {
    "d": gettext_noop("%(count)s d"),
    "h": gettext_noop("%(count)s h"),
    "min": gettext_noop("%(count)s min"),
    "s": gettext_noop("%(count)s s"),
    "ms": gettext_noop("%(count)s ms"),
}
_LENGTH: Final = re.compile(r"(\d{1,12})\s*(d|h|min|m|s)\s*", re.ASCII)


def duration(length: timedelta) -> str:
    """A duration of either sign in the two largest units that it has, for logs and records.

    >>> [duration(timedelta(milliseconds=ms)) for ms in (0.4, 12.34, 1500, 90_000)]
    ['0.4 ms', '12 ms', '1.5 s', '1 min 30 s']
    >>> duration(timedelta(hours=-3, minutes=-5, seconds=-9))
    '3 h 5 min'
    """
    return " ".join(f"{count:.{decimals}f} {unit}" for count, decimals, unit in _parts(length))


def duration_in_words(length: timedelta, *, whole: bool = False) -> str:
    """As `duration`, in the language of pages and alerts; `whole` without parts of a second.

    >>> duration_in_words(timedelta(minutes=90)), duration_in_words(timedelta(seconds=1.5))
    ('1 h 30 min', '1.5 s')
    >>> duration_in_words(timedelta(seconds=41.04), whole=True)
    '41 s'
    """
    parts = [(int(n), 0, unit) for n, _, unit in _parts(length)] if whole else _parts(length)
    return " ".join(gettext(_IN_WORDS[unit]) % {"count": format_number(n, decimals)} for n, decimals, unit in parts)


def _parts(length: timedelta) -> list[tuple[float, int, str]]:
    """Counts, each with how many decimals it is written and its unit."""
    seconds = abs(length.total_seconds())
    if seconds < 1:
        return [(seconds * 1000, 1 if seconds < 0.01 else 0, "ms")]
    if seconds < 60:
        return [(seconds, 1, "s")]
    parts: list[tuple[float, int, str]] = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(int(seconds), size)
        if count:
            parts.append((count, 0, unit))
    return parts[:2]


def exact_duration(seconds: int) -> str:
    """Whole seconds in all units that they have, as `parse_duration` reads them.

    >>> exact_duration(93_784), exact_duration(0)
    ('1 d 2 h 3 min 4 s', '0 s')
    """
    parts = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def parse_duration(text: str) -> int:
    """Read whole seconds such as "90 min", "1 d 12 h" or "10s". Raises ValueError with a readable message.

    >>> parse_duration("1 h 30 min"), parse_duration("10s")
    (5400, 10)
    """
    rest, seconds = text.strip().lower(), 0
    while match := _LENGTH.match(rest):
        seconds += int(match[1]) * _UNITS["min" if match[2] == "m" else match[2]]
        rest = rest[match.end() :]
    if rest or not text.strip():
        raise ValueError(f"{text.strip()[:40]!r} is no length of time such as 10 s, 90 min, 12 h or 7 d")
    return seconds
