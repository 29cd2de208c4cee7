"""`python -m tests.postgresql [pytest arguments]`: the tests again, on a PostgreSQL started for them.

Where no PostgreSQL server is installed it says so and ends well.
"""

import os
import subprocess
import sys

from sandbox.ports import free_port
from sandbox.postgresql import binaries, running_postgresql

#: Nothing of it outlives its machine, and each test empties all tables: waiting for the disk takes most of the time.
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def main(arguments: list[str]) -> int:
    """Start, test, stop; pytest's exit code."""
    if binaries() is None:
        print("No PostgreSQL server is installed here: its tests are left out.")
        return 0
    with running_postgresql(free_port(), *NOT_DURABLE) as url:
        environment = {**os.environ, "TEST_DATABASE_URL": url}
        return subprocess.run([sys.executable, "-m", "pytest", *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
