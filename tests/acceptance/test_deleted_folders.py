"""The service with ops/, api/ or monitoring/ deleted."""

from pathlib import Path

import pytest
from redis import Redis

from tests.support import forked
from tests.support.copies import copy_files
from tests.support.environment import FOLDER, REDIS_PORT
from tests.support.servers import ROOT, SandboxApi

PARTS = (
    "manage.py",
    "gunicorn.conf.py",
    "scheduler_project",
    "jobs",
    "api",
    "ops",
    "monitoring",
    "sandbox",
    "templates",
)
#: In one process: to start it takes longer than all that it does.
STEPS = """
import sys
import manage

def run(*words):
    sys.argv[1:] = words
    manage.main()

run("migrate", "--verbosity", "0")

from django.contrib.auth.models import User
from django.test import Client
from jobs.models import Job
from jobs.service import Submission, submit

submit(Submission(type="EVENT_EXPIRATION", campaign_id="campaign-2", payload={}), actor="test")
run("rqworker", "--burst")
print(sorted(Job.objects.values_list("state", flat=True)))
client = Client()
client.force_login(User.objects.create_superuser("ann", "", "x"))
print([client.get(url).status_code for url in ("/admin/jobs/job/", "/api/jobs", "/health")])
"""


@pytest.mark.parametrize(
    ("deleted", "statuses"),
    [("ops", [404, 401, 200]), ("api", [200, 404, 200]), ("monitoring", [200, 401, 404])],
)
def test_every_job_runs_with_the_folder_deleted(
    deleted: str, statuses: list[int], tmp_path: Path, redis: Redis, sandbox: SandboxApi
) -> None:
    """Migrate, submit, work; only the folder's own pages and URLs are missing."""
    for part in (part for part in PARTS if part != deleted):
        copy_files(ROOT / part, tmp_path / part)
    url = f"sqlite:///{FOLDER / f'without-{deleted}.sqlite3'}"
    variables = {"DATABASE_URL": url, "REDIS_URL": f"redis://127.0.0.1:{REDIS_PORT}/3"}

    ended = forked.run("-c", STEPS, variables=variables, folder=tmp_path)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = ended.stdout.splitlines()
    assert not (tmp_path / deleted).exists()
    assert "['SUCCEEDED']" in told
    assert told[-1] == str(statuses)
