"""`python -m tests.trouble [jobs]`: the trouble of a bad night in the service that `make up` runs (support/trouble.py).

Its workers are suspended: `manage.py rqresume` and `curl -X DELETE …/control/faults` at the sandbox end the trouble.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

PROGRAM: Final = "from tests.support import trouble; trouble.make({})"


def main(arguments: list[str]) -> int:
    """Run it as a command of the running service, whose environment manage.py finds; its exit code."""
    command = [sys.executable, "manage.py", "shell", "--no-imports", "--command", PROGRAM.format(*arguments or [""])]
    return subprocess.run(command, cwd=Path(__file__).resolve().parent.parent, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:2]))
