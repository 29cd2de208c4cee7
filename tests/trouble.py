"""`python -m tests.trouble [jobs]`: the trouble of a bad night in the service that `make up` runs (support/trouble.py).

Its workers are suspended: `manage.py rqresume` and `curl -X DELETE …/control/faults` at the sandbox end the trouble.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

PROGRAM: Final = "from tests.support import trouble; trouble.make({})"


def main(arguments: list[str]) -> int:
    """Run it as a command of the running service, whose environment manage.py finds; its exit code."""
    parser = argparse.ArgumentParser("python -m tests.trouble", description=__doc__)
    parser.add_argument("jobs", nargs="?", type=int, help="how many jobs in all")
    program = PROGRAM.format(parser.parse_args(arguments).jobs or "")
    command = [sys.executable, "manage.py", "shell", "--no-imports", "--command", program]
    return subprocess.run(command, cwd=Path(__file__).resolve().parent.parent, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
