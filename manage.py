#!/usr/bin/env python
"""Django's command line with the scheduler's settings."""

import gc
import os
import signal
import sys


def main() -> None:
    # While modules load, Ctrl-C ends the process at once: Python might swallow a KeyboardInterrupt there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # modules are no garbage: looking for some among them takes a tenth of the start
    import django  # after gc.disable()
    from django.core.management import execute_from_command_line  # after gc.disable()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
    django.setup()
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before the command installs its own handler
        sys.exit(130)
