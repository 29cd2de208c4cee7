"""MOVES, and what is derived from it."""

import ast
import re
from collections.abc import Iterator

import pytest

from jobs import states
from jobs.states import MOVES, State
from tests.support.servers import ROOT

STATE = re.compile(rf"\b({'|'.join(State)})\b")
CODE = [
    path
    for folder in ("jobs", "ops", "monitoring", "api", "sandbox", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "migrations" not in path.parts and path != ROOT / "jobs" / "states.py"
]


def test_every_state_has_an_entry_in_moves() -> None:
    """A state without one could never be left."""
    assert set(MOVES) == set(State)


@pytest.mark.parametrize(
    ("derived", "expected"),
    [
        (states.NEW, "SCHEDULED QUEUED"),
        (states.WAITING, "SCHEDULED RETRYING"),
        (states.RESCHEDULABLE, "SCHEDULED QUEUED RETRYING"),
        (states.ENDED, "SUCCEEDED SKIPPED DEAD CANCELLED"),
        (states.FINAL, "SUCCEEDED SKIPPED"),
        (states.RETRYABLE, "DEAD CANCELLED"),
        (states.DISCARDABLE, "SCHEDULED QUEUED RETRYING DEAD"),
        (states.CANCELLABLE, "SCHEDULED QUEUED RETRYING"),
    ],
)
def test_groups_of_states_follow_from_moves(derived: tuple[State, ...], expected: str) -> None:
    """Pages and API offer what MOVES allows."""
    assert " ".join(derived) == expected


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """The strings of a module but its docstrings."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            is_docstring = isinstance(node, ast.Expr)
            if isinstance(child, ast.Constant) and isinstance(child.value, str) and not is_docstring:
                yield child


def test_states_are_spelled_in_one_place_only() -> None:
    """SQL, queries and pages take names from State, so a renamed state fails where it is used."""
    found = [
        (str(path.relative_to(ROOT)), text.lineno, text.value)
        for path in CODE
        if STATE.search(source := path.read_text())
        for text in texts(ast.parse(source))
        if STATE.search(str(text.value))
    ]

    assert found == []
