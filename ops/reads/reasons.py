"""What an operator typed as the reason, in entries of every release."""

import re
from typing import Final

_OPERATORS: Final = ("user:", "token:", "command")
#: Releases up to 0.1 wrote these where nothing was typed, or added them to what was.
_UNTYPED: Final = re.compile(
    r"submitted|((submitted|retry|run[ -]now|reschedule|cancel|discard) (in the admin|over HTTP))"
    r"|((the queue was emptied )?in the queue dashboard)|advanced from a what-if|undone"
)
_ADDED: Final = re.compile(r"(; whether its work was done is unknown| \(a copy of [0-9a-f-]{36}\))+$")


def typed_reason(actor: str, reason: str) -> str:
    """The reason without what the service wrote for an operator; the service's own reasons unchanged.

    >>> typed_reason("user:ann", "cancel in the admin; whether its work was done is unknown")
    ''
    >>> typed_reason("user:ann", "a feast"), typed_reason("scheduler", "submitted")
    ('a feast', 'submitted')
    """
    if not actor.startswith(_OPERATORS):
        return reason
    text = _ADDED.sub("", reason)
    return "" if _UNTYPED.fullmatch(text) else text
