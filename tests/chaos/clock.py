"""The service's clock: the machine's, and an offset that a run can change. It needs a C compiler."""

import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("clock.c")
#: Twenty seconds before the clocks of Europe/Berlin change.
EPOCHS: Final = {
    "autumn": datetime(2026, 10, 25, 0, 59, 40, tzinfo=UTC),
    "spring": datetime(2027, 3, 28, 0, 59, 40, tzinfo=UTC),
}


def compiler() -> str | None:
    """The path of a C compiler; None if there is none, and no clock can be set."""
    return shutil.which("cc")


class Clock:
    """The clock of all processes of one world that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        self.can_be_set = compiler() is not None
        self.was_set = False  #: while processes ran
        self._offset_s = 0.0
        self._file = folder / "clock"
        self._library = folder / "clock.so"
        self._file.write_bytes(bytes(8))
        if self.can_be_set:
            command = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE)]
            subprocess.run(command, check=True)

    def begin_at(self, epoch: str) -> None:
        """Before anything runs: begin just before that clock change."""
        if self.can_be_set:
            self._move(EPOCHS[epoch].timestamp() - time.time())

    def step(self, by_s: float) -> None:
        """Set the clock forward, or back."""
        if self.can_be_set:
            self.was_set = True
            self._move(by_s)

    def now(self) -> datetime:
        """The time as the service sees it."""
        return datetime.fromtimestamp(time.time() + self._offset_s, UTC)

    def environment(self) -> dict[str, str]:
        """The variables that make a process read this clock."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._file)} if self.can_be_set else {}

    def _move(self, by_s: float) -> None:
        self._offset_s += by_s
        with self._file.open("r+b") as file:  # processes have mapped it
            os.pwrite(file.fileno(), int(self._offset_s * 1e9).to_bytes(8, "little", signed=True), 0)
