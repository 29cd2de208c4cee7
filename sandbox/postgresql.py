"""A temporary PostgreSQL server for tests and benchmarks, if PostgreSQL is installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """Return the newest installation's folder with initdb, or None."""
    found = [Path(shutil.which("initdb") or "/none").parent, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1]]
    return next((folder for folder in found if (folder / "initdb").exists()), None)


class PostgreSQL:
    """A server with default settings but for `settings`, in a folder of its own; `close` ends and deletes it.

    Raises FileNotFoundError if PostgreSQL is not installed.
    """

    def __init__(self, port: int, *settings: str) -> None:
        folder = binaries()
        if folder is None:
            raise FileNotFoundError("no PostgreSQL server is installed")
        self.url = f"postgres://tests@127.0.0.1:{port}/postgres"
        self._data = Path(tempfile.mkdtemp(prefix="scheduler-postgresql-"))
        owner = _as_owner(self._data)
        self._control = [
            *owner,
            str(folder / "pg_ctl"),
            "-D",
            str(self._data / "db"),
            "-w",
            "-l",
            str(self._data / "log"),
        ]
        self._options = f"-p {port} -k {self._data} -c listen_addresses=127.0.0.1"
        self._options += "".join(f" -c {setting}" for setting in settings)
        initdb = [*owner, str(folder / "initdb"), "-D", str(self._data / "db"), "-U", "tests", "-A", "trust", "-N"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own arguments
        self.start()

    def start(self) -> None:
        """Start it, with its data."""
        self._run("-o", self._options, "start")

    def stop(self, mode: str) -> None:
        """Stop it: `fast` is orderly, `immediate` is a crash."""
        self._run("-m", mode, "stop")

    def close(self) -> None:
        """End it and delete its data."""
        self.stop("immediate")
        shutil.rmtree(self._data, ignore_errors=True)

    def _run(self, *words: str) -> None:
        subprocess.run([*self._control, *words], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own arguments


@contextmanager
def running_postgresql(port: int, *settings: str) -> Iterator[str]:
    """The URL of a server that runs until the end of the block. Raises FileNotFoundError as PostgreSQL does."""
    server = PostgreSQL(port, *settings)
    try:
        yield server.url
    finally:
        server.close()


def _as_owner(folder: Path) -> list[str]:
    """Return a command prefix that drops root, which PostgreSQL refuses, and give `folder` to that user."""
    if os.geteuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        command = ["id", name]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:  # noqa: S603 - our own arguments
            shutil.chown(folder, name)
            return ["setpriv", f"--reuid={name}", "--clear-groups"]
    raise SystemExit("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")
