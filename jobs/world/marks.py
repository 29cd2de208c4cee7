"""Marks of what was applied, stored in the entity's own variables and written in the same update.

`schedulerMarks: {"clock": "world", "POPULATION_GROWTH": "<last due time applied>", "jobs": {event: [job ids]}}`, and
`levelledUpAt`, when the last level-up was applied.
"""

from collections.abc import Mapping
from typing import Any, Final

from jobs.world.clock import M, clock_name, parse_as

KEY: Final = "schedulerMarks"
LEVELLED_UP: Final = "levelledUpAt"
KEPT_JOBS: Final = 20  # job IDs kept per event, for jobs that people submitted


def read_mark(variables: Mapping[str, Any], event: str, like: type[M]) -> M | None:
    """The last due time of `event` applied on the clock of type `like`; None if there is none."""
    marks = variables.get(KEY)
    if not isinstance(marks, dict):
        return None
    text = marks.get(event)
    if not isinstance(text, str):
        return None
    try:
        mark = parse_as(like, text)
    except ValueError:
        return None
    return mark if marks.get("clock", clock_name(mark)) == clock_name(mark) else None


def with_mark(variables: Mapping[str, Any], event: str, moment: M) -> dict[str, Any]:
    """`variables` with the mark set to `moment`; drops marks of another clock."""
    marks: Any = variables.get(KEY)
    marks = marks if isinstance(marks, dict) else {}
    name = clock_name(moment)
    if marks.get("clock", name) != name:
        marks = {"jobs": marks["jobs"]} if "jobs" in marks else {}
    return {**variables, KEY: {**marks, "clock": name, event: moment.isoformat()}}


def is_job_applied(variables: Mapping[str, Any], event: str, job_id: str) -> bool:
    """Whether a job without a clock due time has been applied."""
    return job_id in _jobs(variables, event)


def with_job(variables: Mapping[str, Any], event: str, job_id: str) -> dict[str, Any]:
    """`variables` with the job marked as applied; keeps the last KEPT_JOBS."""
    marks = _marks(variables)
    jobs = marks.get("jobs")
    kept = [*_jobs(variables, event), job_id][-KEPT_JOBS:]
    return {**variables, KEY: {**marks, "jobs": {**(jobs if isinstance(jobs, dict) else {}), event: kept}}}


def _marks(variables: Mapping[str, Any]) -> dict[str, Any]:
    marks = variables.get(KEY)
    return dict(marks) if isinstance(marks, dict) else {}


def _jobs(variables: Mapping[str, Any], event: str) -> list[Any]:
    jobs = _marks(variables).get("jobs")
    kept = jobs.get(event) if isinstance(jobs, dict) else None
    return kept if isinstance(kept, list) else []
