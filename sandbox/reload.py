"""`python -m sandbox.reload FOLDER COMMAND…`: run a command and restart it when a file of the project changes.

Django's own reloader cannot do this: it runs the command in a second thread, where a worker cannot set its signal
handlers, and watches only the modules that the command has imported.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

EVERY_S: Final = 1.0
SUFFIXES: Final = frozenset({".py", ".html", ".lua", ".css", ".js"})
_NOT_RUN: Final = frozenset({"tests", "benchmarks", "sandbox"})


def files_of(project: Path) -> Iterator[Path]:
    """Yield the files of the project's packages and templates."""
    for folder in project.iterdir():
        if folder.name not in _NOT_RUN and (folder.name == "templates" or (folder / "__init__.py").exists()):
            yield from (path for path in folder.rglob("*") if path.suffix in SUFFIXES)


def snapshot(project: Path) -> Mapping[Path, int]:
    """Return each file's modification time; files that disappear meanwhile are left out."""
    written = {}
    for path in files_of(project):
        try:
            written[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return written


def run(command: Sequence[str], project: Path, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Keep `command` running until `stop` is set. A command that exits restarts at the next change."""
    while not stop.is_set():
        seen = snapshot(project)
        # A separate session: a signal to this process's group reaches the command once, through this process.
        child = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - the developer's own command
        exited = False
        try:
            while not stop.wait(EVERY_S) and snapshot(project) == seen:
                if not exited and child.poll() is not None:
                    exited = True
                    say(f"exited with code {child.returncode}; restarting when a file changes")
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait()
        if not stop.is_set():
            say("a file changed; restarting")


def main() -> None:
    """Run the given command until SIGTERM or SIGINT."""
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    run(sys.argv[2:], Path(sys.argv[1]), stop, lambda text: print(f"reload: {text}", flush=True))


if __name__ == "__main__":
    main()
