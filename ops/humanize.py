"""Times, counts and long texts as pages write them, in the pages' language."""

from datetime import datetime, timedelta
from typing import Final

from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext, ngettext

from jobs import state_counts
from scheduler_project.durations import duration_in_words as duration
from scheduler_project.numbers import format_number
from scheduler_project.text import shorten

LONGEST_TITLE: Final = 1_000  #: characters that are shown while the pointer is on a text


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

    In whole seconds, as the script says that counts on.
    """
    if is_now(at, now):
        return gettext("now")
    if at > now:
        return gettext("in %(duration)s") % {"duration": duration(at - now, whole=True)}
    return gettext("%(duration)s ago") % {"duration": duration(now - at, whole=True)}


def is_now(at: datetime, now: datetime) -> bool:
    return abs(at - now) < timedelta(seconds=1)


def format_count(count: int) -> str:
    """A count with thousands separators.

    >>> format_count(12_345)
    '12,345'
    """
    return format_number(count)


def format_percent(percent: float, decimals: int = 1) -> str:
    """
    >>> format_percent(4.66), format_percent(95, 0)
    ('4.7%', '95%')
    """
    return gettext("%(number)s%%") % {"number": format_number(percent, decimals)}


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
    return ngettext("%(count)s job", "%(count)s jobs", count) % {"count": format_count(count)}


def abridge(text: str, most: int) -> str:
    """The beginning of a text for a cell of a list; a longer one is shown while the pointer is on it.

    >>> abridge("refused", 80)
    'refused'
    >>> abridge("no route to the host", 10)
    '<span title="no route to the host">no route …</span>'
    """
    short = Truncator(text).chars(most)
    return text if short == text else format_html('<span title="{}">{}</span>', shorten(text, LONGEST_TITLE), short)


def join(parts: list[str]) -> str:
    """Items of a list.

    >>> join(["1 queued", "2 dead"])
    '1 queued, 2 dead'
    """
    return gettext(", ").join(parts)
