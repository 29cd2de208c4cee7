"""How times and zones are read that people and programs send: in one way, whatever field they stand in."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def read_moment(text: object) -> datetime:
    """A moment in ISO 8601 with its offset from UTC, as `2026-12-07T10:00Z`. Raises ValueError, in words."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not an ISO 8601 time")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:100]!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text[:100]!r} has no offset from UTC")
    return moment


def read_zone(name: str) -> ZoneInfo:
    """A time zone by its name, as Europe/Berlin. Raises ValueError, in words."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, as Europe
        raise ValueError(f"there is no time zone {name[:100]!r}") from None
