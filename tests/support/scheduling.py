"""In which order tests run, and which of them one worker of pytest-xdist runs together.

Its own way, `--dist loadgroup`, writes the group into a test's id, which pytest 9.2 no longer lets it do: every worker
would start a service and a browser.
"""

from collections.abc import Sequence
from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

#: The tests of these folders share what takes long to start.
TOGETHER: Final = ("tests/integration/ops/browser/",)
#: These wait for processes, clocks and stores most of the time; each folder is spread over this part of the run.
#: At the end only short ones are left, or the others would wait for a long one.
WAITING: Final = {"tests/acceptance/": 0.8, "tests/integration/jobs/": 0.95}


class ByFolder(LoadScopeScheduling):
    """Each test goes to the next free worker, those of one of the folders to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid)


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """What one worker runs alone comes first, or the others would wait for it in the end.

    Tests that wait are spread among those that calculate, so that there is always something to calculate.
    """
    alone = [item for item in items if item.nodeid.startswith(TOGETHER)]
    others = [item for item in items if not item.nodeid.startswith((*TOGETHER, *WAITING))]
    parts = [([item for item in items if item.nodeid.startswith(folder)], share) for folder, share in WAITING.items()]
    placed = [(share * n / len(part), item) for part, share in (*parts, (others, 1.0)) for n, item in enumerate(part)]
    return [*alone, *(item for _, item in sorted(placed, key=lambda place: place[0]))]
