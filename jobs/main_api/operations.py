"""The GraphQL operations, one .graphql file each; batches alias an operation as a0, a1, …

`manage.py check_main_api` parses and validates them. Processes do not: loading a parser is a fifth of their start.
Those in beyond_contract/ are served by the main API of today and not promised by its contract.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "operations"
_BEYOND: Final = FOLDER / "beyond_contract"


@cache
def fragments() -> dict[str, str]:
    """Shared fragments by name, one per line of fragments.graphql."""
    lines = (FOLDER / "fragments.graphql").read_text().splitlines()
    return {line.split()[1]: line for line in lines if line}


@cache
def names() -> tuple[str, ...]:
    """The names of the contract's operations, which are also the names of their fields."""
    return tuple(sorted(p.stem for p in FOLDER.glob("*.graphql") if p.stem != "fragments"))


@cache
def beyond_contract() -> frozenset[str]:
    """The names of the other operations."""
    return frozenset(p.stem for p in _BEYOND.glob("*.graphql"))


@cache
def text(name: str, size: int = 1, *, named: bool = True) -> str:
    """The document for `size` aliased calls of one operation; for size 1, the operation itself.

    Without `named` it does not ask for the names of objects, which stand in the fragments only.
    """
    folder = _BEYOND if name in beyond_contract() else FOLDER
    source = (folder / f"{name}.graphql").read_text().strip()
    if size > 1:
        source = _add_aliases(source, size)
    spread = dict.fromkeys(re.findall(r"\.\.\.(\w+)", source))  # each fragment once, in order
    return "\n".join([source, *(_fragment(f, named=named) for f in spread)])


@cache
def asks_for_names(name: str) -> bool:
    return text(name) != text(name, named=False)


def _fragment(name: str, *, named: bool) -> str:
    return fragments()[name] if named else re.sub(r"\bname ", "", fragments()[name])


def _add_aliases(source: str, size: int) -> str:
    """`query f($x: T) { f(x: $x) {…} }` as `query f($x0: T, $x1: T) { a0: f(x: $x0) {…} a1: f(x: $x1) {…} }`."""
    match = re.fullmatch(r"(\w+) (\w+)\((.*?)\) \{ (.*) \}", source, re.DOTALL)
    if match is None:
        raise ValueError(f"an operation without variables cannot be batched: {source}")
    kind, name, declared, field = match.groups()
    variables = ", ".join(re.sub(r"\$(\w+)", rf"$\g<1>{i}", declared) for i in range(size))
    fields = " ".join(f"a{i}: " + re.sub(r"\$(\w+)", rf"$\g<1>{i}", field) for i in range(size))
    return f"{kind} {name}({variables}) {{ {fields} }}"
