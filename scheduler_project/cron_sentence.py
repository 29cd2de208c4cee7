"""A cron expression as a sentence in the language of pages, as cronsim writes it in English."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final, NamedTuple

from cronsim.explain import Expression, Field, format_time
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_noop

from scheduler_project.cron_expression import is_expression

_LAST, _LAST_WEEKDAY = -1, -2
_ORDINALS: Final[Mapping[int, str]] = {
    _LAST: gettext_noop("last"),
    1: gettext_noop("first"),
    2: gettext_noop("second"),
    3: gettext_noop("third"),
    4: gettext_noop("fourth"),
    5: gettext_noop("fifth"),
    6: gettext_noop("sixth"),
    7: gettext_noop("seventh"),
    8: gettext_noop("eighth"),
    9: gettext_noop("ninth"),
}
_ENDINGS: Final[Mapping[int, str]] = {
    1: gettext_noop("%(number)sst"),
    2: gettext_noop("%(number)snd"),
    3: gettext_noop("%(number)srd"),
}


class _Texts(NamedTuple):
    """The texts for one field."""

    one: str
    many: str
    every: str
    every_nth: str
    span: str
    span_nth: str


_TEXTS: Final[Mapping[str, _Texts]] = {
    "second": _Texts(
        gettext_noop("second %(value)s"),
        gettext_noop("seconds %(values)s"),
        gettext_noop("every second"),
        gettext_noop("every %(nth)s second"),
        gettext_noop("every second from %(start)s through %(stop)s"),
        gettext_noop("every %(nth)s second from %(start)s through %(stop)s"),
    ),
    "minute": _Texts(
        gettext_noop("minute %(value)s"),
        gettext_noop("minutes %(values)s"),
        gettext_noop("every minute"),
        gettext_noop("every %(nth)s minute"),
        gettext_noop("every minute from %(start)s through %(stop)s"),
        gettext_noop("every %(nth)s minute from %(start)s through %(stop)s"),
    ),
    "hour": _Texts(
        gettext_noop("hour %(value)s"),
        gettext_noop("hours %(values)s"),
        gettext_noop("every hour"),
        gettext_noop("every %(nth)s hour"),
        gettext_noop("every hour from %(start)s through %(stop)s"),
        gettext_noop("every %(nth)s hour from %(start)s through %(stop)s"),
    ),
    "day of month": _Texts(
        gettext_noop("the %(nth)s day of month"),
        gettext_noop("%(values)s day of month"),
        gettext_noop("every day of month"),
        gettext_noop("every %(nth)s day of month"),
        gettext_noop("every day of month from %(start)s through %(stop)s"),
        gettext_noop("every %(nth)s day of month from %(start)s through %(stop)s"),
    ),
    "month": _Texts(
        "%(value)s",
        "",
        gettext_noop("every month"),
        gettext_noop("every %(nth)s month"),
        gettext_noop("every month from %(start)s through %(stop)s"),
        gettext_noop("every %(nth)s month from %(start)s through %(stop)s"),
    ),
    "day of week": _Texts(
        "%(value)s",
        "",
        gettext_noop("every day of week"),
        gettext_noop("every %(nth)s day of week"),
        gettext_noop("%(start)s through %(stop)s"),
        gettext_noop("every %(nth)s day of week from %(start)s through %(stop)s"),
    ),
}
_NAMED: Final = ("month", "day of week")


def sentence(expression: str) -> str:
    """Describe the expression in words; empty if it is invalid.

    >>> sentence("*/15 9-17 * * 1-5"), sentence("30 0 9 * * 1-5")
    ('Every 15th minute from 09:00 through 17:59 on Monday through Friday', 'At 09:00:30 on Monday through Friday')
    """
    if not is_expression(expression):
        return ""
    found = Expression(expression.upper().split())
    time, may_be_daily = _time(found)
    date = _date(found, may_be_daily)
    if not date and may_be_daily:
        return capfirst(gettext("%(time)s every day") % {"time": time})
    return capfirst(gettext("%(time)s %(date)s") % {"time": time, "date": date} if date else time)


def _time(found: Expression) -> tuple[str, bool]:
    """The time of day, and whether the days are to be said even if it is every day."""
    if found.hour.star and (text := _time_of_any_hour(found)):
        return text, False
    if times := _times(found):
        return times
    parts = [found.minute, found.hour] if found.second.zero else [found.second, found.minute, found.hour]
    return " ".join(map(_say, parts)), False


def _time_of_any_hour(found: Expression) -> str:
    second, minute = found.second, found.minute
    if minute.star and second.star:
        return gettext("every second")
    if minute.star and second.zero:
        return gettext("every minute")
    if minute.star:
        return gettext("%(seconds)s of every minute") % {"seconds": _say(second)}
    if minute.single_value == 0 and second.zero:
        return gettext("at the start of every hour")
    return gettext("%(minutes)s of every hour") % {"minutes": _say(minute)} if second.zero else ""


def _times(found: Expression) -> tuple[str, bool] | None:
    """A few times of day, or a stretch of the day."""
    fields = (found.hour, found.minute, found.second)
    if all(field.all_singles for field in fields):
        moments = sorted(product(*(field.singles() for field in fields)))
        if len(moments) <= 4:
            times = [format_time(h, m, None if found.second.zero else s) for h, m, s in moments]
            return gettext("at %(times)s") % {"times": _join(times)}, True
    if not found.second.zero or len(found.minute.parsed) > 1:
        return None
    minutes, hours = found.minute.parsed[0], found.hour.parsed[0]
    text, hour = gettext("%(every)s from %(start)s through %(stop)s"), found.hour.single_value
    if hour and minutes.start is not None and minutes.stop is not None and minutes.step == 1:
        ends = {"start": format_time(hour, minutes.start), "stop": format_time(hour, minutes.stop)}
        return text % {"every": gettext("every minute"), **ends}, False
    is_stretch = len(found.hour.parsed) == 1 and hours.start is not None and hours.stop is not None and hours.step == 1
    if minutes.start is None and is_stretch:
        ends = {"start": format_time(hours.start or 0, 0), "stop": format_time(hours.stop or 0, 59)}
        return text % {"every": _say(found.minute), **ends}, False
    return None


def _date(found: Expression, may_be_daily: bool) -> str:
    if found.dow.star and (text := _single_date(found)):
        return text
    if may_be_daily and found.day.star and found.dow.star and found.month.all_singles:
        return gettext("every day %(months)s") % {"months": _say(found.month)}
    said = {"day": _say(found.day), "weekday": _say(found.dow)}
    if found.day.star:
        days = "" if found.dow.star else said["weekday"]
    elif found.dow.star:
        days = said["day"]
    elif found.day_and:
        days = gettext("%(day)s if it's %(weekday)s") % said
    else:
        days = gettext("%(day)s and %(weekday)s") % said
    return " ".join(filter(None, [days, "" if found.month.star else _say(found.month)]))


def _single_date(found: Expression) -> str:
    day, months = found.day.single_value, _list(found.month)
    if day == _LAST:
        return gettext("on the last day of %(months)s") % {"months": months}
    if day == _LAST_WEEKDAY:
        return gettext("on the last weekday of %(months)s") % {"months": months}
    if found.month.single_value and day:
        return gettext("on %(month)s %(day)s") % {"month": months, "day": day}
    return gettext("on the %(nth)s day of %(months)s") % {"nth": _ordinal(day), "months": months} if day else ""


def _say(field: Field) -> str:
    """A field with its preposition."""
    said = {"values": _list(field)}
    match field.name:
        case "hour":
            return gettext("past %(values)s") % said
        case "day of month" | "day of week":
            return gettext("on %(values)s") % said
        case "month":
            return gettext("in %(values)s") % said
    return gettext("at %(values)s") % said if field.any_singles else said["values"]


def _list(field: Field) -> str:
    texts = _TEXTS[field.name]
    singles = field.singles()
    if field.all_singles and len(field.parsed) > 1 and field.name not in _NAMED and _LAST_WEEKDAY not in singles:
        is_day = field.name == "day of month"
        labels = [gettext("the %(nth)s") % {"nth": _ordinal(n)} if is_day else str(n) for n in singles]
        return gettext(texts.many) % {"values": _join(labels)}
    return _join([_part(field, one.start, one.stop, one.step, one.nth) for one in field.parsed])


def _part(field: Field, start: int | None, stop: int | None, step: int, nth: int | None) -> str:
    texts = _TEXTS[field.name]
    if start is None or stop is None:
        return gettext(texts.every) if step == 1 else gettext(texts.every_nth) % {"nth": _ordinal(step)}
    if start != stop:
        ends = {"start": _label(field, start), "stop": _label(field, stop)}
        return gettext(texts.span) % ends if step == 1 else gettext(texts.span_nth) % {**ends, "nth": _ordinal(step)}
    if nth is None:
        value = {"value": _label(field, start), "nth": _ordinal(start)}
        return (gettext(texts.one) if field.name not in _NAMED else texts.one) % value
    if field.name == "day of month":
        return gettext("the last day of the month") if start == _LAST else gettext("the last weekday of the month")
    said = {"day": _label(field, start), "nth": _ordinal(nth)}
    if nth == _LAST:
        return gettext("the last %(day)s of the month") % said
    return gettext("the %(nth)s %(day)s of the month") % said


def _label(field: Field, value: int) -> str:
    """A number, or the name of a month or weekday, which Django's catalogues have."""
    return gettext(field.label(value)) if field.name in _NAMED else str(value)


def _ordinal(number: int) -> str:
    if number in _ORDINALS:
        return gettext(_ORDINALS[number])
    ending = _ENDINGS.get(number % 10) if number > 20 else None
    return gettext(ending or gettext_noop("%(number)sth")) % {"number": number}


def _join(parts: Sequence[str]) -> str:
    """One, two or more parts of an enumeration."""
    if len(parts) == 1:
        return parts[0]
    said = {"before": ", ".join(parts[:-1]), "last": parts[-1]}
    return (gettext("%(before)s and %(last)s") if len(parts) == 2 else gettext("%(before)s, and %(last)s")) % said
