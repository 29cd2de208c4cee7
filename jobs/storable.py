"""Text that every database takes: PostgreSQL keeps neither NUL characters nor lone surrogates."""

from typing import Final
from uuid import UUID

LONGEST_ID: Final = 64
LONGEST_NAME: Final = 200


def is_storable(text: str) -> bool:
    """Whether `text` can be kept as it is."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a campaign or an entity."""
    return 0 < len(text) <= LONGEST_ID and is_storable(text)


def is_job_id(text: str) -> bool:
    """Whether `text` can be the id of a job."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def as_name(text: str) -> str:
    """As much of `text` as a name's column holds.

    >>> as_name("River\\0ton")
    'Riverton'
    """
    return text.replace("\0", "").encode(errors="replace").decode()[:LONGEST_NAME]
