#!/usr/bin/env python
"""Django's command line, with the settings of the scheduler."""

import os
import signal
import sys


def main() -> None:
    """Run the command that the arguments name."""
    # While modules load, Ctrl-C simply ends the process: as an exception it could be raised where Python swallows it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import django
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
    django.setup()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before the command has a handler of its own
        sys.exit(130)
