"""This process as an older or a newer release: what its registry of job types has."""

from dataclasses import replace
from typing import Any

import pytest

from jobs import registry


def declare(patch: pytest.MonkeyPatch, name: str, **changes: Any) -> registry.JobType:
    """Change the declaration of a type; returns the new one."""
    declared = replace(registry.type_named(name), **changes)
    _install(patch, {**registry.all_types(), name: declared})
    return declared


def forget(patch: pytest.MonkeyPatch, name: str) -> None:
    """Remove a type, as in a release that has none of this name."""
    _install(patch, {other: declared for other, declared in registry.all_types().items() if other != name})


def _install(patch: pytest.MonkeyPatch, types: dict[str, registry.JobType]) -> None:
    patch.setattr(registry, "declared_types", types)
    patch.setattr(registry, "declared_versions", {name: declared.version for name, declared in types.items()})
