"""docs/job-types.md: its steps, followed in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from jobs.registry import JobType
from tests.support.copies import copy_files
from tests.support.servers import ROOT

PAGE = (ROOT / "docs" / "job-types.md").read_text()
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "var", "staticfiles", "docs", "node_modules", ".*_cache", ".hypothesis"
)


def files_of(page: str) -> dict[str, str]:
    """The blocks of a page under a line that is a file's name, by that name."""
    return dict(re.findall(r"^`([\w/.]+)`\n\n```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))


def commands_of(page: str) -> list[str]:
    """Every line of the page's blocks of commands."""
    return [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]


def test_the_steps_of_the_page_work(tmp_path: Path) -> None:
    """All its files are new, all its commands succeed, and its tests run."""
    copy = tmp_path / "copy"
    copy_files(ROOT, copy, NOT_COPIED)
    (copy / ".venv").symlink_to(sys.prefix)
    files, commands = files_of(PAGE), commands_of(PAGE)
    assert set(files) == {"jobs/types/campaign_census.py", "tests/unit/jobs/types/test_campaign_census.py"}
    assert len(commands) >= 4
    for name, text in files.items():
        assert not (copy / name).exists()
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "TEST_DATABASE_URL"}

    said = ""
    for command in commands:
        ended = subprocess.run(
            command.split(), cwd=copy, env=environment, capture_output=True, text=True, timeout=280, check=False
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        said = ended.stdout

    assert "2 passed" in said


def test_the_page_lists_every_keyword_of_a_declaration() -> None:
    """Each has a row in its table, and there are no others."""
    table = PAGE.partition("## What else a type can declare")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == {f.name for f in fields(JobType)} - {
        "name",
        "handle",
    }
