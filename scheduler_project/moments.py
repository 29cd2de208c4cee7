"""Parses times and time zones from outside, in every field the same way."""

import re
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: Files beside the zones that can be read as such: the machine's own zone, placeholders, and clocks with leap seconds,
#: which differ from everybody else's by 27 seconds.
_NO_ZONES: Final = re.compile(r"localtime|posixrules|Factory|(posix|right)/.*")


def read_moment(text: object) -> datetime:
    """Parse an ISO 8601 time with an offset, such as `2026-12-07T10:00Z`. Raises ValueError with a readable message."""
    if not isinstance(text, str):
        raise ValueError("must be a text: an ISO 8601 time")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:100]!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text[:100]!r} has no offset from UTC")
    return moment


def read_zone(name: str) -> ZoneInfo:
    """Look up a time zone by its name, such as Europe/Berlin. Raises ValueError with a readable message."""
    try:
        if _NO_ZONES.fullmatch(name):
            raise ValueError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, such as Europe
        raise ValueError(f"there is no time zone {name[:100]!r}") from None
