"""`manage.py page_times`: response times and query counts of the admin's pages with a million jobs."""

import math
import os
import statistics
import time
from pathlib import Path
from typing import Any, Final

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks import stock
from jobs.models import Job
from jobs.states import State

PAGES: Final = (
    "/admin/?range=15m",
    "/admin/?range=1h",
    "/admin/?range=24h",
    "/admin/?range=7d",
    "/admin/jobs/failuregroup/",
    "/admin/jobs/failuregroup/?show=known",
    "/admin/jobs/failuregroup/{failure}/change/",
    "/admin/jobs/crontask/",
    "/admin/jobs/crontask/{task}/change/",
    "/admin/jobs/campaignclock/",
    "/admin/jobs/campaignclock/campaign-7/change/",
    "/admin/jobs/job/",
    f"/admin/jobs/job/?state={State.DEAD}",
    "/admin/jobs/job/?type=SETTLEMENT_GROWTH",
    "/admin/jobs/job/?campaign_id__exact=campaign-7",
    "/admin/jobs/job/?priority__exact=10",
    "/admin/jobs/job/?from=token:&type=SETTLEMENT_GROWTH",
    "/admin/jobs/job/?due_at_from=2100-01-01T00:00%2B01:00",
    f"/admin/jobs/job/?finished_at_to=2100-01-01T00:00%2B01:00&state={State.DEAD}",
    "/admin/jobs/job/?q=nothing+of+the+kind",
    *(f"/admin/jobs/job/?state={state}" for state in State if state is not State.DEAD),
    f"/admin/jobs/job/?state={State.RETRYING}&waits=any",
    "/admin/jobs/job/{job}/change/",
    "/admin/jobs/auditentry/",
    "/admin/jobs/auditentry/?scope=all",
    "/admin/jobs/auditentry/?scope=all&why=nothing",
    "/admin/jobs/job/upcoming/",
    "/admin/jobs/job/upcoming/?hours=24",
    "/admin/jobs/job/types/",
    "/admin/jobs/job/types/SETTLEMENT_GROWTH/",
    "/admin/jobs/campaignclock/campaign-7/change/?hours=72",
    "/admin/jobs/campaignclock/advances/",
    "/admin/queues/",
    "/admin/jobs/pause/",
    "/admin/jobs/pause/processes/",
)


class Command(BaseCommand):
    help = "Measure the admin's pages with a million jobs. DATABASE_URL must name a database for this command only."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--jobs", type=int, default=1_000_000, help="rows to create (default: 1000000)")
        parser.add_argument("--keep", action="store_true", help="keep the rows of an earlier call")
        parser.add_argument("--times", type=int, default=9, help="measured requests per page (default: 9)")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        if Job.objects.exclude(source=stock.SOURCE).exists():
            raise CommandError("this database holds other jobs, which this command would delete")
        if not options["keep"]:
            began = time.perf_counter()
            stock.fill(options["jobs"])
            self.stdout.write(f"filled in {time.perf_counter() - began:.0f} s: {stock.count()}")
        person, _ = User.objects.get_or_create(username="page-times", is_staff=True)
        person.groups.set(Group.objects.filter(name="Administrator"))
        client = Client()
        client.force_login(person)
        dead = Job.objects.filter(state=State.DEAD).order_by("-pk").values_list("pk", flat=True).first()
        places = {"failure": f"{1:016x}", "task": "1", "job": dead}
        for page in PAGES:
            self.stdout.write(_line(client, page.format(**places), options["times"]))


def _cpu_ms() -> float:
    """CPU time of this process and, beside it on the same machine, of its PostgreSQL backend."""
    own = time.process_time() * 1000
    if connection.vendor != "postgresql":
        return own
    user, system = map(int, Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text().split()[13:15])
    return own + (user + system) * 1000 / os.sysconf("SC_CLK_TCK")


def _line(client: Client, url: str, times: int) -> str:
    """Measure one page: CPU, median and 95th percentile in milliseconds, number of queries.

    CPU is what an idle machine would take: the pages wait for nothing else.
    """
    with CaptureQueriesContext(connection) as queries:
        status = client.get(url).status_code
    count = len(queries)  # before the next request clears them
    took, cpu = [], _cpu_ms()
    for _ in range(times):
        began = time.perf_counter()
        client.get(url)
        took.append((time.perf_counter() - began) * 1000)
    slow = sorted(took)[math.ceil(len(took) * 0.95) - 1]
    cpu = (_cpu_ms() - cpu) / times
    return f"| {cpu:.0f} | {statistics.median(took):.0f} | {slow:.0f} | {count} | {status} | {url} |"
