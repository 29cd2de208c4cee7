"""What growth and maintenance answer for a job: the summary, and what was before and after."""

from typing import Any

from jobs.main_api.model import Settlement, Structure
from jobs.world.entity import Occurred


def result_of(entity: Settlement | Structure, one: Occurred[Any]) -> dict[str, Any]:
    return {"entity": entity.name, **changes_of(one)}


def changes_of(one: Occurred[Any]) -> dict[str, Any]:
    return {"summary": one.summary, "occurrences": one.count, "before": dict(one.before), "after": dict(one.after)}


def differences(level: int, variables: dict[str, Any], other_level: int, other: dict[str, Any]) -> dict[str, Any]:
    """The part of (level, variables) that differs from the other pair, for a result's before and after."""
    kept = {name: value for name, value in variables.items() if other.get(name) != value and name != "schedulerMarks"}
    return kept if level == other_level else {"level": level, **kept}
