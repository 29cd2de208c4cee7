"""Times, counts and names as pages write them; scheduler_project.durations writes durations."""

from datetime import datetime, timedelta

from jobs import state_counts
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


def format_count(count: int) -> str:
    """A count with thousands separators.

    >>> format_count(12_345)
    '12,345'
    """
    return f"{count:,}"


def limited_count(count: int) -> str:
    """A count that stopped after state_counts.MOST_COUNTED.

    >>> limited_count(12), limited_count(10_000), limited_count(10_001)
    ('12', '10,000', '10,000+')
    """
    most = state_counts.MOST_COUNTED
    return f"{format_count(most)}+" if count > most else format_count(count)


def format_jobs(count: int) -> str:
    """A number of jobs.

    >>> format_jobs(1), format_jobs(1_234)
    ('1 job', '1,234 jobs')
    """
    return f"{format_count(count)} job{'' if count == 1 else 's'}"
