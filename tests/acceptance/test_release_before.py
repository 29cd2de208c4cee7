"""A rollout: the previous release works on the new schema, and leaves newer payloads to newer workers."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from redis import Redis

from jobs.broker import keys
from jobs.models import AuditEntry, Job
from jobs.service import Submission, submit_many
from tests.support import forked
from tests.support.processes import Start, database_url
from tests.support.servers import ROOT, SandboxApi, wait_until

#: The newest commit that may still run beside this tree; with each release, the commit of the one before.
RELEASE_BEFORE = "6217b2ecf72f8f4c9210eb6c9864666e96ce58af"
PARTS = ("manage.py", "scheduler_project", "jobs", "api", "ops", "monitoring", "sandbox", "templates")
KIND = "DEFERRED_EFFECT"
#: The next release, whose effects carry a note.
NEXT = {
    "    execute_at: Annotated": "    note: str\n    execute_at: Annotated",
    "return 2 if self.execute_at_world_time else 1": "return 3",
    "(_from_version_1,)": '(_from_version_1, lambda payload: {**payload, "note": "from version 2"})',
}
SUBMIT = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
import django
django.setup()
from datetime import timedelta
from django.utils import timezone
from jobs.service import Submission, submit
for seconds, effect in enumerate(sys.argv[2:]):
    at = (timezone.now() + timedelta(seconds=2 * seconds)).isoformat()
    payload = {"effectId": effect, "executeAt": at} | ({"note": sys.argv[1]} if sys.argv[1] else {})
    print(submit(Submission(type="DEFERRED_EFFECT", campaign_id="campaign-1", payload=payload), actor="test")[0].pk)
"""


def submit_from(tree: Path, *effects: str, note: str = "") -> list[str]:
    """Submit effects with the code of a tree, the first due at once, each other 2 s later; the jobs' ids."""
    ended = forked.run("-c", SUBMIT, note, *effects, variables={"DATABASE_URL": database_url()}, folder=tree)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()[-len(effects) :]


def submit_here(*effects: str, seconds: float = 0) -> list[str]:
    """Submit effects with this tree's code; the jobs' ids."""
    at = (timezone.now() + timedelta(seconds=seconds)).isoformat()
    submissions = [
        Submission(type=KIND, campaign_id="campaign-1", payload={"effectId": effect, "executeAt": at})
        for effect in effects
    ]
    return [str(job.pk) for job, _ in submit_many(submissions, actor="test")]


def all_done(ids: list[str]) -> bool:
    return Job.objects.filter(pk__in=ids, state="SUCCEEDED").count() == len(ids)


def attempts(ids: list[str]) -> list[int]:
    """How often each was claimed."""
    return [AuditEntry.objects.filter(job_id=i, now="RUNNING").count() for i in ids]


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The release before, as git has it."""
    if subprocess.run(["git", "cat-file", "-e", f"{RELEASE_BEFORE}^{{commit}}"], cwd=ROOT, check=False).returncode:
        pytest.skip(f"this clone has no commit {RELEASE_BEFORE[:7]}: git fetch --unshallow")
    tree = tmp_path / "before"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", RELEASE_BEFORE], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
    return tree


@pytest.fixture
def following(tmp_path: Path) -> Path:
    """The next release: this tree, with version 3 of the effects' payload."""
    tree = tmp_path / "next"
    tree.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tree / part)
    declaration = tree / "jobs" / "types" / "deferred_effect.py"
    text = declaration.read_text()
    for old, new in NEXT.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    declaration.write_text(text)
    return tree


def test_the_previous_release_works_on_the_new_schema(before: Path, start: Start, sandbox: SandboxApi) -> None:
    """Alone and beside this release: each effect of either is executed once."""
    for command in ("rqworker", "rqscheduler"):
        start(command, tree=before)
    first = [
        *submit_from(before, "effect-1-1", "effect-1-2"),
        *submit_here("effect-1-3"),
        *submit_here("effect-2-1", seconds=2),
    ]
    wait_until(lambda: all_done(first), what="the release before did the jobs of both")

    start("rqworker")
    both = submit_here("effect-2-2", "effect-2-3")
    wait_until(lambda: all_done(both), what="both releases work side by side")

    assert attempts([*first, *both]) == [1] * 6
    assert len(sandbox.world()["executions"]) == 6


def test_an_older_worker_leaves_a_newer_payload_to_a_newer_worker(
    following: Path, start: Start, sandbox: SandboxApi, redis: Redis
) -> None:
    """In processes: this release's worker and scheduler, then the next one's worker beside them."""
    for command in ("rqworker", "rqscheduler"):
        start(command)
    newer = submit_from(following, "effect-1-1", "effect-1-2", note="new")
    (older,) = submit_here("effect-1-3")
    parked = keys.PARKED_IDS.format(keys.NEWER.format("high", KIND, 3))
    wait_until(lambda: all_done([older]), what="the older payload is done")
    aside = {i.encode() for i in newer}
    wait_until(lambda: aside == set(redis.lrange(parked, 0, -1)), what="both newer payloads are set aside")

    assert set(Job.objects.filter(pk__in=newer).values_list("state", "attempt")) == {("QUEUED", 0)}
    start("rqworker", tree=following)
    wait_until(lambda: all_done(newer), what="the newer worker did them")
    later = submit_here("effect-2-1", "effect-2-2")
    wait_until(lambda: all_done(later), what="the others go on")

    assert attempts([*newer, older, *later]) == [1] * 5
    assert len(sandbox.world()["executions"]) == 5
