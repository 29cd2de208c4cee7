"""Lengths of time, moments and names, as a person would say them."""

from datetime import datetime, timedelta


def duration(length: timedelta) -> str:
    """A length of time in words, to two units.

    >>> duration(timedelta(hours=3, minutes=5, seconds=9))
    '3 h 5 min'
    """
    seconds = abs(length.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(int(seconds), size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def naturaltime(at: datetime, now: datetime) -> str:
    """When `at` is, seen from `now`.

    >>> from datetime import UTC
    >>> naturaltime(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 11, 58, tzinfo=UTC))
    'in 2 min'
    """
    if abs(at - now) < timedelta(seconds=1):
        return "now"
    return f"in {duration(at - now)}" if at > now else f"{duration(now - at)} ago"


def label(name: str) -> str:
    """A name in capitals as words."""
    return name.replace("_", " ").capitalize()
