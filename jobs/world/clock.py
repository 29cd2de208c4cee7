"""Wall-clock time and world time, as two types that cannot be mixed up."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Self, TypeVar, cast

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_OFFSET: Final = "+00:00"
LAST_TICK: Final = (datetime.max.replace(tzinfo=UTC) - _FIRST) // _MICROSECOND
_MILLISECONDS: Final = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no offset from UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} lies outside the years 0001 to 9999 in UTC") from None


@lru_cache(maxsize=4096)  # most entities of a campaign are due at the same times
def _isoformat(at: datetime) -> str:
    precision = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return at.isoformat(timespec=precision).removesuffix(_OFFSET) + "Z"


@dataclass(frozen=True, slots=True, order=True)
class _Moment:
    at: datetime

    def __post_init__(self) -> None:
        if self.at.tzinfo is not UTC:
            object.__setattr__(self, "at", _utc(self.at))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ISO 8601 with Z or an offset. Raises ValueError quoting the text."""
        try:
            return cls(datetime.fromisoformat(text.replace("z", "Z")))
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{text!r} is not an ISO 8601 time with an offset: {error}") from None

    def isoformat(self) -> str:
        """ISO 8601 in UTC with milliseconds, or with microseconds if needed.

        >>> WorldTime.parse("0999-12-31T00:00:00+00:00").isoformat()
        '0999-12-31T00:00:00.000Z'
        """
        return _isoformat(self.at)


@dataclass(frozen=True, slots=True, order=True)
class WallTime(_Moment):
    """A moment in the real world."""


@dataclass(frozen=True, slots=True, order=True)
class WorldTime(_Moment):
    """A moment in a campaign's world, in any year from 0001 to 9999."""


Moment = WallTime | WorldTime
M = TypeVar("M", bound=_Moment)
_CLOCKS: Final[dict[str, type[WallTime] | type[WorldTime]]] = {"wall": WallTime, "world": WorldTime}


def is_time(value: object) -> bool:
    """Whether a value may be a time: text, or a number of milliseconds."""
    return isinstance(value, str | int | float | Decimal) and not isinstance(value, bool)


def iso_text(value: object) -> str:
    """Rewrite milliseconds since 1970, a number or its text, as ISO 8601. Anything else becomes text as it is.

    >>> iso_text("-18869738400000"), iso_text(0), iso_text("1372-01-16T06:00Z")
    ('1372-01-16T06:00:00.000Z', '1970-01-01T00:00:00.000Z', '1372-01-16T06:00Z')
    """
    if not is_time(value) or (isinstance(value, str) and not _MILLISECONDS.fullmatch(value)):
        return str(value)
    try:
        since = timedelta(milliseconds=int(value))  # type: ignore[call-overload]  # checked above
        return WorldTime(_EPOCH + since).isoformat()
    except (ValueError, ArithmeticError):  # outside the years 0001 to 9999, or not finite
        return str(value)


def clock_name(moment: _Moment) -> str:
    """The name of a moment's clock: "wall" or "world"."""
    return "world" if isinstance(moment, WorldTime) else "wall"


def parse_moment(clock: str, text: str) -> Moment:
    """Parse a time on the clock named `clock`. Raises ValueError if it is malformed."""
    return parse_as(_CLOCKS[clock], text)


def parse_as(kind: type[M], text: str) -> M:
    """`kind.parse`, for times that many entities have. Raises ValueError quoting the text."""
    return cast("M", _parse(cast("Any", kind), text))


@lru_cache(maxsize=4096)  # as for _isoformat
def _parse(kind: Hashable, text: str) -> _Moment:
    return cast("type[_Moment]", kind).parse(text)


def sortable(moment: Moment | None) -> str:
    """Format a time so that text order is time order; empty for never.

    >>> sortable(WorldTime.parse("0999-12-31T00:00:00+01:00")), sortable(None)
    ('0999-12-30T23:00:00.000000Z', '')
    """
    return _sortable(moment.at) if moment else ""


@lru_cache(maxsize=4096)  # as for _isoformat
def _sortable(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").removesuffix(_OFFSET) + "Z"


def later(moment: M, by: timedelta) -> M | None:
    """`moment` plus `by`; None (never) past the year 9999.

    >>> later(WorldTime.parse("9999-12-31T23:30:00Z"), timedelta(hours=1)) is None
    True
    """
    try:
        return type(moment)(moment.at + by)
    except OverflowError:
        return None


def in_milliseconds(moment: M) -> M | None:
    """`moment` or, between two milliseconds, the later one; None (never) past the year 9999.

    >>> in_milliseconds(WorldTime.parse("1372-01-16T06:00:59.999820Z"))
    WorldTime(at=datetime.datetime(1372, 1, 16, 6, 1, tzinfo=datetime.timezone.utc))
    """
    return later(moment, timedelta(microseconds=-moment.at.microsecond % 1000))


def ticks_of(moment: _Moment) -> int:
    """Microseconds since the beginning of the year 1: integers are faster to calculate with, and never overflow."""
    return (moment.at - _FIRST) // _MICROSECOND


def moment_at(ticks: int, kind: type[M]) -> M:
    """The moment of so many ticks. Raises OverflowError past the year 9999.

    >>> moment_at(ticks_of(WorldTime.parse("1372-01-16T06:00Z")), WorldTime).isoformat()
    '1372-01-16T06:00:00.000Z'
    """
    return cast("M", _moment_at(ticks, cast("Any", kind)))


@lru_cache(maxsize=4096)  # as for _isoformat
def _moment_at(ticks: int, kind: Hashable) -> _Moment:
    return cast("type[_Moment]", kind)(_FIRST + ticks * _MICROSECOND)
