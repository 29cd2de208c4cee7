"""DEFERRED_EFFECT: execute one effect at a wall-clock time, or at a world time in the order of the world."""

from datetime import datetime
from typing import Annotated, Any

from django.utils.translation import gettext, gettext_noop
from msgspec import Meta

from jobs.errors import Inactive, InvalidJob, NotFound, Skip
from jobs.registry import WORLD_TIME, Payload, job_type
from jobs.run import Run
from jobs.states import Priority
from jobs.world.clock import WorldTime
from scheduler_project.text import LONGEST_ID


class DeferredEffect(Payload, frozen=True, kw_only=True):
    """Which effect, and when."""

    effect_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
    execute_at: Annotated[datetime, Meta(tz=True)] | None = None
    execute_at_world_time: Annotated[
        str,
        Meta(
            max_length=40,
            description=gettext_noop("A world time, in place of a time of day."),
            extra_json_schema=WORLD_TIME,
        ),
    ] = ""

    def subject(self) -> str:
        return self.effect_id

    def task(self) -> str:
        return gettext("Execute effect {}")

    def due_at(self) -> datetime | None:
        return self.execute_at

    def world_time_due(self) -> WorldTime | None:
        return WorldTime.parse(self.execute_at_world_time) if self.execute_at_world_time else None

    def readable_from(self) -> int:
        return 2 if self.execute_at_world_time else 1

    def check(self) -> None:
        if (self.execute_at is None) is not bool(self.execute_at_world_time):
            name = "executeAtWorldTime" if self.execute_at else "executeAt"
            raise InvalidJob(f"payload.{name}", gettext("exactly one of executeAt and executeAtWorldTime is required"))
        try:
            self.world_time_due()
        except ValueError as error:
            raise InvalidJob("payload.executeAtWorldTime", str(error)) from None


def _from_version_1(payload: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had executeAt only."""
    return payload


@job_type(
    "DEFERRED_EFFECT",
    label=gettext_noop("Deferred effect"),
    payload=DeferredEffect,
    priority=Priority.HIGH,
    idempotent=False,
    upgrades=(_from_version_1,),
    opens_form=True,
)
def execute(payload: DeferredEffect, run: Run) -> dict[str, Any]:
    """Execute the effect unless it is inactive or unknown to the main API.

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
