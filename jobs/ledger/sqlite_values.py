"""How SQLite stores the values of the ledger's rows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from jobs.ledger.base import CLAIMED_COLUMNS
from jobs.ledger.rows import Claimed
from jobs.world.due import interval_of

#: The columns of a claim, with moments as text: Python's module would parse each anew, by Django's converter.
AS_TEXT: Final = CLAIMED_COLUMNS.replace("due_at", "due_at || ''").replace("waits_since", "waits_since || ''")


@lru_cache(maxsize=1024)  # a batch has few moments, in many rows
def text_of(moment: datetime | None) -> str | None:
    """A moment as Django writes it into SQLite: UTC without its offset."""
    return None if moment is None else str(moment.astimezone(UTC).replace(tzinfo=None))


@lru_cache(maxsize=1024)
def moment_of(text: str) -> datetime:
    """A moment from what `text_of` makes of it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hex_of(job_id: str) -> str:
    """An id as Django writes it into SQLite."""
    return job_id.replace("-", "")


def hexes(ids: Sequence[str]) -> str:
    """Many ids as one parameter, so that a statement has one text however many there are."""
    return '["' + '","'.join(map(hex_of, ids)) + '"]'


def claimed_from(job_id: str, row: Sequence[Any], now: datetime) -> Claimed:
    (
        _hex_id,
        kind,
        campaign,
        subject,
        payload,
        priority,
        attempt,
        failures,
        due_at,
        clock,
        clock_due,
        occurrences,
        interval,
        request_id,
        version,
        waits,
        waits_since,
    ) = row
    return Claimed(
        id=job_id,
        type=kind,
        campaign_id=campaign,
        subject=subject,
        payload=msgspec.json.decode(payload),
        priority=priority,
        attempt=attempt + 1,
        failures=failures,
        due_at=moment_of(due_at),
        clock=clock,
        clock_due=clock_due,
        occurrences=occurrences,
        interval=None if interval is None else interval_of(interval),
        request_id=request_id,
        payload_version=version,
        started_at=now,
        waits=waits,
        waits_since=waits_since and moment_of(waits_since),
    )
