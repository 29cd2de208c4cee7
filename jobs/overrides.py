"""What an operator has set for job types, in this process; jobs/type_settings.py has the public interface.

A worker reads its copy once a second, so that a job costs no query.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple


class Overrides(NamedTuple):
    """The values that replace a type's own; None: the type's own, or the environment's."""

    max_attempts: int | None = None
    backoff_ms: int | None = None
    timeout_s: int | None = None
    concurrency: int | None = None  #: jobs that run at a time, of all workers together

    @property
    def backoff(self) -> timedelta | None:
        return None if self.backoff_ms is None else timedelta(milliseconds=self.backoff_ms)

    @property
    def timeout(self) -> timedelta | None:
        return None if self.timeout_s is None else timedelta(seconds=self.timeout_s)


class _InUse:
    """This process's."""

    overrides: Mapping[str, Overrides] | None = None  #: None: nobody has told


NONE = Overrides()
_in_use = _InUse()


def use(overrides: Mapping[str, Overrides]) -> None:
    """Apply these from now on, in place of all earlier ones."""
    _in_use.overrides = dict(overrides)


def are_known() -> bool:
    """Whether this process has received the overrides."""
    return _in_use.overrides is not None


def of(job_type: str) -> Overrides:
    return (_in_use.overrides or {}).get(job_type, NONE)


def concurrency() -> Mapping[str, int]:
    """The limits of jobs that run at a time, by type."""
    return {name: own.concurrency for name, own in (_in_use.overrides or {}).items() if own.concurrency is not None}
