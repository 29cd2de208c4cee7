#!/usr/bin/env python3
"""Django's command line with the scheduler's settings."""

import gc
import json
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_PYTHON = _FOLDER / ".venv" / "bin" / "python"
_UP = _FOLDER / "var" / "up.json"  # written by `manage.py up` while it runs


def use_packages() -> None:
    """Run with the packages that `make` has installed, if this Python has none."""
    if find_spec("django") is None and _PYTHON.exists():
        os.execv(_PYTHON, [str(_PYTHON), *sys.argv])  # noqa: S606 - our own interpreter, with the user's own arguments


def join_running_service() -> None:
    """Beside `make up`, mean the service that it runs, unless the environment names another."""
    if {"REDIS_URL", "DATABASE_URL", "API_URL"} & os.environ.keys() or not _UP.exists():
        return
    up = json.loads(_UP.read_text())
    try:
        os.kill(up["pid"], 0)
    except ProcessLookupError:  # it was killed
        return
    os.environ |= {name: value for name, value in up["environment"].items() if name not in os.environ}


def main() -> None:
    # While modules load, Ctrl-C ends the process at once: Python might swallow a KeyboardInterrupt there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    use_packages()
    if sys.argv[1:2] != ["up"]:
        join_running_service()
    gc.disable()  # modules are no garbage: looking for some among them takes a tenth of the start
    import django  # after gc.disable()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
    django.setup()
    from scheduler_project.command_line import execute  # it needs the settings

    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    execute(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before the command installs its own handler
        sys.exit(130)
