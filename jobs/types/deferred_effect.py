"""DEFERRED_EFFECT: execute one effect at a wall-clock time."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from jobs.errors import Inactive, NotFound, Skip
from jobs.registry import Payload, job_type
from jobs.run import Run
from jobs.states import Priority
from scheduler_project.text import LONGEST_ID


class DeferredEffect(Payload, frozen=True, kw_only=True):
    """Which effect, and when."""

    effect_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
    execute_at: Annotated[datetime, Meta(tz=True)]

    def subject(self) -> str:
        return self.effect_id

    def task(self) -> str:
        return "Execute effect {}"

    def due_at(self) -> datetime:
        return self.execute_at


@job_type("DEFERRED_EFFECT", payload=DeferredEffect, priority=Priority.HIGH, idempotent=False)
def execute(payload: DeferredEffect, run: Run) -> dict[str, Any]:
    """Execute the effect unless it is inactive, or the main API knows none of this ID.

    An effect that cannot be read may still be executed: getEffect does not find those of settlements and structures.
    """
    effect = run.api.effect(payload.effect_id)
    name = effect.name if effect else payload.effect_id
    if effect and not effect.is_active:
        raise Skip(f"effect {name} is inactive")
    try:
        done = run.api.execute_effect(payload.effect_id, key=run.job_id, sending=run.sending)
    except NotFound as missing:
        if effect or payload.effect_id not in str(missing):  # it may be the effect's target that is gone
            raise
        raise Skip(f"effect {name} is gone") from None
    except Inactive:
        raise Skip(f"effect {name} is inactive") from None
    return {"entity": name, "executionId": done.execution_id, "affectedFields": done.affected_fields}
