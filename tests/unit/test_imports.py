"""What the imports of the whole service look like."""

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


def test_every_package_of_ours_is_linted() -> None:
    """A new folder beside the others has a layer like them."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert packages - {"tests"} == set(LINTER["root_packages"])


def test_nothing_imports_in_a_circle(graph: grimp.ImportGraph) -> None:
    """No module by way of others, and no two neighbours of one folder each other."""
    folders = [module for module in graph.modules if graph.find_children(module)]

    assert {folder: graph.nominate_cycle_breakers(folder) for folder in folders} == {
        folder: set() for folder in folders
    }


def test_the_order_can_be_kept_in_mind() -> None:
    """One contract of at most ten layers, without exceptions."""
    (contract,) = LINTER["contracts"]

    assert contract["exhaustive"]
    assert "ignore_imports" not in contract
    assert len(contract["layers"]) <= 10


def test_the_rules_of_the_world_need_no_django() -> None:
    """They run in a bare Python."""
    code = "import sys, jobs.world.growth, jobs.world.maintenance; sys.exit('django' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
