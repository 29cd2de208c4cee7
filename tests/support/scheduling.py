"""Which tests one worker of pytest-xdist runs together.

Its own way, `--dist loadgroup`, writes the group into a test's id, which pytest 9.2 no longer lets it do: every worker
would start a service and a browser.
"""

from typing import Final

from xdist.scheduler import LoadScopeScheduling

#: The tests of these folders share what takes long to start.
TOGETHER: Final = ("tests/integration/ops/browser/",)


class ByFolder(LoadScopeScheduling):
    """Each test goes to the next free worker, those of one of the folders to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid)
