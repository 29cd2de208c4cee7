"""The service behind PgBouncer in transaction mode, where each transaction may get another session of the server."""

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.utils import timezone

from sandbox.ports import free_port
from sandbox.postgresql import binaries, running_postgresql
from tests.postgresql import NOT_DURABLE
from tests.support.pgbouncer import BINARY, running_pgbouncer
from tests.support.servers import wait_until
from tests.support.service import Service

pytestmark = [
    pytest.mark.skipif(BINARY is None, reason="PgBouncer is not installed"),
    pytest.mark.skipif(binaries() is None, reason="no PostgreSQL server is installed"),
]
JOBS = 300
CLIENTS = 8
SESSIONS = 4  #: fewer than processes

#: How often each job has succeeded, and whether each of its claims is in the audit trail.
MOVES = """
SELECT count(*) FILTER (WHERE a.now = 'SUCCEEDED'), count(*) FILTER (WHERE a.now = 'RUNNING') = j.attempt
FROM jobs_job j JOIN jobs_auditentry a ON a.job_id = j.id WHERE j.id = ANY(%s::uuid[]) GROUP BY j.id
"""


def count_ended(server: psycopg.Connection, jobs: list[str]) -> int:
    query = "SELECT count(*) FROM jobs_job WHERE id = ANY(%s::uuid[]) AND state = 'SUCCEEDED'"
    (count,) = server.execute(query, [jobs]).fetchone() or (0,)
    return int(count)


def browse(service: Service, page: str, session: str) -> int:
    """Open a page of the admin as somebody who has logged in."""
    cookie = {"Cookie": f"sessionid={session}"}
    request = urllib.request.Request(f"{service.url}/admin/{page}", headers=cookie)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.status)


def test_the_service_works_through_a_pooler_under_load(tmp_path: Path) -> None:
    """Jobs of many clients, due now and later, all end with one audit entry per move; pages respond."""
    with (
        running_postgresql(free_port(), *NOT_DURABLE) as direct,
        running_pgbouncer(direct, size=SESSIONS) as (url, log),
    ):
        service = Service(tmp_path, DATABASE_URL=url)
        try:
            now = timezone.now()

            def submit(n: int) -> str:
                due = now + timedelta(seconds=5 * (n % 2), milliseconds=n)
                return service.submit("EVENT_EXPIRATION", f"campaign-{n % 3 + 1}", {}, dueAt=due.isoformat())

            with ThreadPoolExecutor(CLIENTS) as clients:
                jobs = list(clients.map(submit, range(JOBS)))
            session = service.session("ann")
            pages = [browse(service, page, session) for page in ("jobs/job/", "jobs/auditentry/", "")]
            with psycopg.connect(direct, autocommit=True) as server:
                wait_until(
                    lambda: count_ended(server, jobs) == len(set(jobs)) == JOBS, within_s=120, what="all are done"
                )
                moves = set(server.execute(MOVES, [jobs]).fetchall())
        finally:
            service.stop()
        texts = [log.read_text(), *(process.log.read_text() for process in service.processes)]

    assert pages == [200, 200, 200]
    assert moves == {(1, True)}
    for text in texts:
        for word in ("unsupported startup", "prepared statement", "Traceback", "connection_lost"):
            assert word not in text, text[-3000:]
