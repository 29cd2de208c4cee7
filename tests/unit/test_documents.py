"""Files, tests, links and tables that documents name exist."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from jobs.registry import all_types
from jobs.states import MOVES
from monitoring.checks import CHECKS
from ops.reads.verdict import ESSENTIAL
from sandbox.dialect import POINTS
from tests.support.documents import anchors_of
from tests.support.servers import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
FOLDERS = "jobs|ops|api|monitoring|scheduler_project|sandbox|benchmarks|templates|tests|docs|deploy"
#: A file or folder of ours, also with * in it; not a part of an address, which begins with a slash.
PATH = re.compile(rf"(?<![\w/.])((?:{FOLDERS})/[\w./*-]*(?:\.\w+|/))(?![\w/*])")
#: What a reader of docs/job-types.md makes, and a run.
MADE = {"jobs/types/campaign_census.py", "tests/unit/jobs/types/", "tests/unit/jobs/types/test_campaign_census.py"}


def name_of(document: Path) -> str:
    """Its path, for a test's name."""
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_resolves(document: Path) -> None:
    """Links to our files have the file and the heading."""
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", document.read_text()):
        path = document.parent / target if target else document
        assert path.exists(), target
        assert not anchor or anchor in anchors_of(path), f"{target}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_named_path_exists(document: Path) -> None:
    """`jobs/service.py`, `jobs/types/` and `tests/unit/**/test_*.py` are files and folders of the project."""
    missing = [path for path in PATH.findall(document.read_text()) if path not in MADE and not list(ROOT.glob(path))]

    assert not missing


def test_every_named_test_exists() -> None:
    """As a function or a file."""
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for document in DOCUMENTS:
        if document.name == "job-types.md":  # it writes tests of its own
            continue
        for name in re.findall(r"\b(test_\w+)(\.py)?", document.read_text()):
            there = "".join(name) in files if name[1] else f"def {name[0]}(" in TESTS
            assert there, f"{name_of(document)}: {''.join(name)}"


def test_every_point_of_the_main_api_has_a_test() -> None:
    """The table of main-api.md names one at least; that they exist is tried above."""
    page = (ROOT / "docs" / "main-api.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (`test_\w+`(?:, `test_\w+`)*) \|$", page, re.MULTILINE)

    assert [int(number) for number, _ in rows] == list(POINTS)


@pytest.mark.parametrize("line", (ROOT / "tests" / "on_postgresql.txt").read_text().splitlines())
def test_every_test_for_postgresql_exists(line: str) -> None:
    """pytest-xdist runs no test at all, and does not say why, if one of the paths is wrong."""
    path, _, name = line.removeprefix("--deselect=").partition("::")

    assert (ROOT / path).exists()
    assert not name or f"def {name.partition('[')[0]}(" in (ROOT / path).read_text()


def test_the_named_line_of_the_makefile_is_right() -> None:
    """What make prints has the line of that target's recipe."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    for document in DOCUMENTS:
        for number, target in re.findall(r"\[Makefile:(\d+): (\w+)\]", document.read_text()):
            rules = [line for line in lines[: int(number)] if re.match(r"\w+:", line)]
            assert lines[int(number) - 1].startswith("\t"), f"{name_of(document)}: {number}"
            assert rules[-1].startswith(f"{target}:"), f"{name_of(document)}: {number}"


def test_the_drawing_of_a_job_s_life_matches_moves() -> None:
    """Each arrow is a move, and each move an arrow."""
    drawing = (ROOT / "docs" / "architecture.md").read_text().partition("stateDiagram-v2")[2].partition("```")[0]
    arrows = set(re.findall(r"^ +(\w+) --> (\w+)", drawing, re.MULTILINE))

    assert arrows == {(was.value, now.value) for was, then in MOVES.items() for now in then}


def test_the_layout_names_every_part() -> None:
    """Each package, each part of jobs/, and each module of the main API's client has a row."""
    page = (ROOT / "docs" / "architecture.md").read_text().partition("\n## The layers")[0]
    of_jobs, of_client = page.split("Inside `jobs/main_api/`:")
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    parts = {path.name for path in (ROOT / "jobs").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    modules = {path.name for path in (ROOT / "jobs" / "main_api").glob("*.py")}

    assert {name for name in packages if f"| `{name}/` |" not in of_jobs} == set()
    assert {name for name in parts - {"__init__.py"} if f"`jobs/{name}" not in of_jobs} == set()
    assert {name for name in modules - {"__init__.py"} if f"`{name}`" not in of_client} == set()


def test_every_job_type_is_in_the_table_of_the_api() -> None:
    """With its payload's required fields, whether it takes all campaigns, and its priority."""
    page = (ROOT / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| ([A-Z_]+) \| .+ \| `\{(.*)\}`.* \| (.+) \| ([A-Z]+) \|$", page, re.MULTILINE)

    assert sorted(rows) == sorted(
        (
            declared.name,
            ", ".join(f'"{field.encode_name}"' for field in msgspec.structs.fields(declared.payload) if field.required),
            "empty: all" if declared.all_campaigns else "required",
            declared.priority.name,
        )
        for declared in all_types().values()
    )


def test_the_two_judgements_of_the_service_are_side_by_side() -> None:
    """What is Down on the dashboard, and what is unhealthy in /health."""
    rows = re.findall(r"^\| (.+) is down \| Down \| `(\w+)`", (ROOT / "docs/monitoring.md").read_text(), re.MULTILINE)
    named = {word: set(re.split(r", | or ", names)) for names, word in rows}
    critical = {name.lower() for name, check in CHECKS.items() if check.critical}

    assert {name.lower() for name in named["unhealthy"]} == critical
    assert named["unhealthy"] | named["degraded"] == ESSENTIAL


def test_pre_commit_runs_what_make_lint_runs() -> None:
    """The same tools of the same environment; ruff fixes what it can."""
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    linted = set(re.findall(r"\$\(BIN\)/([\w-]+(?: check| format)?)", recipe))
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]

    assert local["repo"] == "local"
    assert {hook["entry"].removeprefix(".venv/bin/").partition(" --")[0] for hook in local["hooks"]} == linted


def test_every_trust_boundary_has_a_test() -> None:
    """Each row of security.md names its tests, or says that it has none."""
    lines = (ROOT / "docs" / "security.md").read_text().splitlines()
    for line in (line for line in lines if line.startswith("|")):
        tests = line.rstrip("| ").rpartition("|")[2].strip()
        assert "test_" in tests or tests in ("tests", "---", "none"), line
