"""How every page, log line and alert writes a duration; here because monitoring/ writes them without ops/ too."""

from datetime import timedelta


def duration(length: timedelta) -> str:
    """A duration of either sign in the two largest units that it has.

    >>> [duration(timedelta(milliseconds=ms)) for ms in (0.4, 12.34, 1500, 90_000)]
    ['0.4 ms', '12 ms', '1.5 s', '1 min 30 s']
    >>> duration(timedelta(hours=-3, minutes=-5, seconds=-9))
    '3 h 5 min'
    """
    seconds = abs(length.total_seconds())
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
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
