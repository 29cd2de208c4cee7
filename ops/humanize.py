"""Times and names as pages write them; scheduler_project.durations writes durations."""

from datetime import datetime, timedelta

from scheduler_project.durations import duration


def milliseconds(length: float | None) -> str:
    """A duration in milliseconds, or a hyphen if there is none.

    >>> [milliseconds(length) for length in (None, 0.4, 12.34, 1500.0)]
    ['-', '0.4 ms', '12 ms', '1.5 s']
    """
    return "-" if length is None else duration(timedelta(milliseconds=length))


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
    """A constant's name in sentence case.

    >>> label("POPULATION_GROWTH")
    'Population growth'
    """
    return name.replace("_", " ").capitalize()
