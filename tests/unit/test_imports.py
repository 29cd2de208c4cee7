"""The imports between all modules."""

import ast
import re
import subprocess
import sys
import tomllib
from typing import Any

import grimp
import pytest

from tests.support.servers import ROOT

LINTER: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports, those within functions too."""
    return grimp.build_graph(*LINTER["root_packages"], cache_dir=None)


def test_every_package_has_a_layer() -> None:
    """A new folder too."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert packages - {"tests"} == set(LINTER["root_packages"])


def test_there_is_no_import_cycle(graph: grimp.ImportGraph) -> None:
    """Neither between modules nor between neighbours of one folder."""
    folders = [module for module in graph.modules if graph.find_children(module)]

    assert {folder: graph.nominate_cycle_breakers(folder) for folder in folders} == {
        folder: set() for folder in folders
    }


def test_there_are_at_most_ten_layers() -> None:
    """One exhaustive contract without exceptions."""
    (contract,) = LINTER["contracts"]

    assert contract["exhaustive"]
    assert "ignore_imports" not in contract
    assert len(contract["layers"]) <= 10


def test_every_late_import_gives_its_reason() -> None:
    """In a comment beside it or above it: an import in a function body hides from whoever reads the top of a file."""
    without = []
    indented = re.compile(r"^[ \t]+(?:from|import) |: *(?:from|import) ", re.MULTILINE)
    for path in (path for root in (*LINTER["root_packages"], "tests") for path in (ROOT / root).rglob("*.py")):
        text = path.read_text()
        if not indented.search(text):
            continue
        lines = text.splitlines()
        functions = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
        imports = {n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)}
        without += [f"{path}:{n}" for n in imports if "#" not in lines[n - 1] and "#" not in lines[n - 2]]

    assert without == []


def test_no_test_replaces_a_private_name() -> None:
    """Ruff finds those that are read or called (SLF001), but not the texts that monkeypatch takes."""
    found = []
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "setattr" in text else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
                texts = [a.value for a in node.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                found += [f"{path}:{node.lineno}: {text}" for text in texts if text.rpartition(".")[2].startswith("_")]

    assert found == []


def test_nothing_is_imported_from_a_test_module() -> None:
    """Helpers are in tests/support/."""
    imports = re.compile(r"^\s*(?:from|import) tests\.\S*\btest_", re.MULTILINE)

    assert [path for path in (ROOT / "tests").rglob("*.py") if imports.search(path.read_text())] == []


def test_the_rules_of_the_world_need_no_django() -> None:
    """They run in a bare Python."""
    modules = "jobs.world.growth, jobs.world.maintenance, jobs.world.calendars.text"
    code = f"import sys, {modules}; sys.exit('django' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
