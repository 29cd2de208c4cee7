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


@contextmanager
def running_postgresql(port: int, *settings: str) -> Iterator[str]:
    """A server with an empty database, and default settings but for `settings`, until the end of the block; its URL.

    Raises FileNotFoundError if PostgreSQL is not installed.
    """
    folder = binaries()
    if folder is None:
        raise FileNotFoundError("no PostgreSQL server is installed")
    data = Path(tempfile.mkdtemp(prefix="scheduler-postgresql-"))
    owner = _as_owner(data)
    control = [*owner, str(folder / "pg_ctl"), "-D", str(data / "db"), "-w", "-l", str(data / "log")]
    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1" + "".join(f" -c {setting}" for setting in settings)
    initdb = [*owner, str(folder / "initdb"), "-D", str(data / "db"), "-U", "tests", "-A", "trust", "-N"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own arguments
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        yield f"postgres://tests@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        shutil.rmtree(data, ignore_errors=True)


def _as_owner(folder: Path) -> list[str]:
    """Return a command prefix that drops root, which PostgreSQL refuses, and give `folder` to that user."""
    if os.geteuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        if subprocess.run(["id", name], capture_output=True, check=False).returncode == 0:  # noqa: S603, S607
            shutil.chown(folder, name)
            return ["setpriv", f"--reuid={name}", "--clear-groups"]
    raise SystemExit("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")
