"""Times, counts and names as pages write them; scheduler_project.durations writes durations."""

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


def format_count(count: int, *, most: int | None = None) -> str:
    """A count with thousands separators; beyond `most`, at which counting stopped, with a plus sign.

    >>> format_count(12_345), format_count(10_000, most=10_000), format_count(10_001, most=10_000)
    ('12,345', '10,000', '10,000+')
    """
    return f"{most:,}+" if most is not None and count > most else f"{count:,}"


def format_jobs(count: int) -> str:
    """A number of jobs.

    >>> format_jobs(1), format_jobs(1_234)
    ('1 job', '1,234 jobs')
    """
    return f"{format_count(count)} job{'' if count == 1 else 's'}"
