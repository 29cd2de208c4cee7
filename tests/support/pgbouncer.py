"""PgBouncer in transaction mode, where it is installed."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit

import psycopg

from sandbox.ports import free_port
from tests.support.servers import wait_until

BINARY = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_INI = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
logfile = {folder}/log
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 300
"""


@contextmanager
def running_pgbouncer(url: str, *, size: int) -> Iterator[tuple[str, Path]]:
    """A pooler with `size` connections to the server at `url`: its URL, as in docs/deploying.md, and its log."""
    port, folder = free_port(), Path(mkdtemp(prefix="scheduler-pgbouncer-"))
    (folder / "ini").write_text(_INI.format(server=urlsplit(url).port, port=port, folder=folder, size=size))
    (folder / "users").write_text('"tests" ""\n')
    user = []
    if os.geteuid() == 0:  # which it refuses to be
        user = ["-u", "postgres"]
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "postgres")
    assert BINARY is not None
    process = subprocess.Popen([BINARY, "-q", *user, str(folder / "ini")])
    direct = f"postgres://tests@127.0.0.1:{port}/postgres"
    try:
        wait_until(lambda: _answers(direct), what="the pooler answers")
        yield f"{direct}?pool_mode=transaction", folder / "log"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
