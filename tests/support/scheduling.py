"""In which order tests run, and which of them one worker of pytest-xdist runs together.

Its own way, `--dist loadgroup`, writes the group into a test's id, which pytest 9.2 no longer lets it do: every worker
would start a service and a browser.
"""

from collections.abc import Sequence
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

#: The tests of these folders share what takes long to start.
TOGETHER: Final = ("tests/integration/ops/browser/",)
#: These wait for processes, clocks and stores most of the time; each folder is spread over this part of the run.
#: At the end only short ones are left, or the others would wait for a long one.
WAITING: Final = {"tests/acceptance/": 0.8, "tests/integration/jobs/": 0.95}
_LONG_S: Final = 0.1


class ByFolder(LoadScopeScheduling):
    """Each test goes to the next free worker, those of one of the folders to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid)

    def _pending_of(self, workload: dict[str, dict[str, bool]]) -> int:
        for scope in [scope for scope, tests in workload.items() if all(tests.values())]:
            del workload[scope]  # or thousands are counted again after each test
        return super()._pending_of(workload)


def send_less(config: pytest.Config) -> None:
    """A worker sends one message a test in place of six: no start and end, and a short set-up only if it failed."""
    worker = next(plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "sendevent"))
    send = worker.sendevent

    def send_event(name: str, **event: Any) -> None:
        if name in ("logstart", "logfinish"):
            return
        if name == "testreport":
            report = event["data"]
            if report["when"] != "call" and report["outcome"] == "passed" and report["duration"] < _LONG_S:
                return
        send(name, **event)

    worker.sendevent = send_event


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """What one worker runs alone comes first, or the others would wait for it in the end.

    Tests that wait are spread among those that calculate, so that there is always something to calculate.
    """
    alone = [item for item in items if item.nodeid.startswith(TOGETHER)]
    others = [item for item in items if not item.nodeid.startswith((*TOGETHER, *WAITING))]
    parts = [([item for item in items if item.nodeid.startswith(folder)], share) for folder, share in WAITING.items()]
    placed = [(share * n / len(part), item) for part, share in (*parts, (others, 1.0)) for n, item in enumerate(part)]
    return [*alone, *(item for _, item in sorted(placed, key=lambda place: place[0]))]
