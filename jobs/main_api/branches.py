"""The main branch of each campaign, which updates go to; remembered, as it hardly ever changes.

It is another one after the campaign was made anew or restored under its ID. The main API refuses updates then.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from jobs.errors import Forbidden, NotAuthorized, PermanentError, TooLarge
from jobs.main_api.listing import Listing
from jobs.main_api.model import Branch

RENEWED_AFTER_S: Final = 5.0  #: a main API that refuses all updates is asked no more often


class _Known(NamedTuple):
    branch: Branch
    read_at: float


class MainBranches:
    """The main branches that this process knows; thread-safe."""

    def __init__(self, read: Callable[[str], Listing[Branch]]) -> None:
        self._read = read
        self._known: dict[str, _Known] = {}

    def of(self, campaign_id: str) -> Branch:
        """Return the branch without a parent. Raises PermanentError if there is none, and the main API's errors."""
        known = self._known.get(campaign_id)
        return known.branch if known else self._renew(campaign_id)

    def successor(self, branch_id: str) -> Branch | None:
        """Return the main branch that has taken the place of this one; None if it has not changed.

        Raises as `of` does.
        """
        for campaign_id, known in list(self._known.items()):
            if known.branch.id == branch_id and time.monotonic() - known.read_at >= RENEWED_AFTER_S:
                renewed = self._renew(campaign_id)
                return renewed if renewed.id != branch_id else None
        return None

    def _renew(self, campaign_id: str) -> Branch:
        branches = self._read(campaign_id)
        found = next((branch for branch in branches if branch.parent_id is None), None)
        if found is None:
            branches.whole()  # raises if the main branch may be among the unreadable ones
            raise PermanentError(f"branches: campaign {campaign_id} has no main branch")
        self._known[campaign_id] = _Known(found, time.monotonic())
        return found


def may_be_about_branch(error: object) -> bool:
    """Whether an update was refused, so that nothing was done, for a reason that may be its branch."""
    return isinstance(error, PermanentError) and not isinstance(error, Forbidden | NotAuthorized | TooLarge)
