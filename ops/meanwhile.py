"""What somebody decided about jobs between a dry run, or a job's page, and its confirmation: it is not overruled."""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from jobs.models import Job, first_id
from jobs.states import RETRYABLE, State

CHANGED: Final = "changed meanwhile"  #: in reports


def is_decided(state: State, allowed: Collection[State], shown: Collection[str]) -> bool:
    """Whether a job is a dead letter or cancelled, which an action allows, but the operator was `shown` other states.

    Other states follow each other without anybody's doing.
    """
    return bool(shown) and state in RETRYABLE and state in allowed and state not in shown


def split_decided(
    jobs: Sequence[Job], allowed: Collection[State], shown: Collection[str], until: UUID
) -> tuple[list[Job], list[Job]]:
    """The jobs as the dry run `until` showed them, and those that became dead letters or were cancelled since."""
    kept, changed = list[Job](), list[Job]()
    for job in jobs:
        state = State(job.state)
        is_later = state in RETRYABLE and state in allowed and first_id(job.moved_at) > until
        (changed if is_later or is_decided(state, allowed, shown) else kept).append(job)
    return kept, changed
