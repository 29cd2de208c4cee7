"""`python -m sandbox.reload FOLDER COMMAND…`: run a command, and start it again when a file of the project changes.

Django's own reloader cannot do this: it runs a command in a second thread, where a worker could not set its signal
handlers, and knows only the modules that the command has imported.
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
    """The files of the project's packages and templates that a process reads."""
    for folder in project.iterdir():
        if folder.name not in _NOT_RUN and (folder.name == "templates" or (folder / "__init__.py").exists()):
            yield from (path for path in folder.rglob("*") if path.suffix in SUFFIXES)


def snapshot(project: Path) -> Mapping[Path, int]:
    """When each file was last written; a file that goes away meanwhile is not among them."""
    written = {}
    for path in files_of(project):
        try:
            written[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return written


def run(command: Sequence[str], project: Path, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Keep `command` running until `stop` is set. A command that exits is started again at the next change."""
    while not stop.is_set():
        seen = snapshot(project)
        # A session of its own: a stop of this process's group reaches the command once, through here.
        child = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - the developer's own command
        exited = False
        try:
            while not stop.wait(EVERY_S) and snapshot(project) == seen:
                if not exited and child.poll() is not None:
                    exited = True
                    say(f"exited with code {child.returncode}; it starts again when a file changes")
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait()
        if not stop.is_set():
            say("a file changed: starting again")


def main() -> None:
    """Run the command of the command line until SIGTERM or SIGINT."""
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    run(sys.argv[2:], Path(sys.argv[1]), stop, lambda text: print(f"reload: {text}", flush=True))


if __name__ == "__main__":
    main()
