"""The actions on jobs: what each is called, which states allow it, and what it says before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext_lazy, ngettext_lazy

from jobs.states import CANCELLABLE, DISCARDABLE, RESCHEDULABLE, RETRYABLE, WAITING, State
from ops.humanize import format_count
from scheduler_project.text import StrOrPromise


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """An action on jobs."""

    name: str
    """In URLs, and in the permission `<name>_job` unless `permitted_as` names another verb."""
    label: StrOrPromise
    """On the button."""
    past: StrOrPromise
    """After "will be"."""
    asks: StrOrPromise
    """The question before it, with `n` jobs, `count` in words."""
    plans: StrOrPromise
    """What it will do to `n` jobs."""
    reports: StrOrPromise
    """What it did to `n` jobs."""
    icon: str
    allowed: tuple[State, ...]
    """The states that allow it, from jobs/states.py."""
    consequence: StrOrPromise
    """The effect, shown before confirmation."""
    applied: bool | None = None
    """False: refused for jobs that may have been applied; True: outside DEAD, allowed only for those; None: ignored."""
    of_world_time: bool = True
    """Whether it is allowed for jobs that wait for a world time."""
    permitted_as: str = ""

    @property
    def permission(self) -> str:
        return f"jobs.{self.permitted_as or self.name}_job"

    def allows(self, state: State, *, may_have_been_applied: bool) -> bool:
        if state not in self.allowed or (self.applied is False and may_have_been_applied):
            return False
        return not self.applied or may_have_been_applied or state is State.DEAD


def fill(text: StrOrPromise, count: int) -> str:
    """Write the number of jobs into a plural text of a verb."""
    return text % {"n": count, "count": format_count(count)}


VERBS: Final[Mapping[str, Verb]] = {
    verb.name: verb
    for verb in (
        Verb(
            name="retry",
            label=gettext_lazy("Retry"),
            past=gettext_lazy("retried"),
            asks=ngettext_lazy("Retry %(count)s job?", "Retry %(count)s jobs?", "n"),
            plans=ngettext_lazy("%(count)s will be retried.", "%(count)s will be retried.", "n"),
            reports=ngettext_lazy("%(count)s job retried.", "%(count)s jobs retried.", "n"),
            icon="replay",
            allowed=RETRYABLE,
            consequence=gettext_lazy("They are queued again at once, with no failures counted against them."),
        ),
        Verb(
            name="run_now",
            label=gettext_lazy("Run now"),
            past=gettext_lazy("queued"),
            asks=ngettext_lazy("Run %(count)s job now?", "Run %(count)s jobs now?", "n"),
            plans=ngettext_lazy("%(count)s will be queued.", "%(count)s will be queued.", "n"),
            reports=ngettext_lazy("%(count)s job queued.", "%(count)s jobs queued.", "n"),
            icon="play_arrow",
            allowed=WAITING,
            consequence=gettext_lazy("They no longer wait for their due time or backoff."),
        ),
        Verb(
            name="reschedule",
            label=gettext_lazy("Reschedule"),
            past=gettext_lazy("rescheduled"),
            asks=ngettext_lazy("Reschedule %(count)s job?", "Reschedule %(count)s jobs?", "n"),
            plans=ngettext_lazy("%(count)s will be rescheduled.", "%(count)s will be rescheduled.", "n"),
            reports=ngettext_lazy("%(count)s job rescheduled.", "%(count)s jobs rescheduled.", "n"),
            icon="event_repeat",
            allowed=RESCHEDULABLE,
            consequence=gettext_lazy(
                "They wait for the new due time; queued jobs leave their queue. Jobs that wait for a world time are "
                "not changed: cancel those, and submit copies."
            ),
            of_world_time=False,
        ),
        Verb(
            name="cancel",
            label=gettext_lazy("Cancel"),
            past=gettext_lazy("cancelled"),
            asks=ngettext_lazy("Cancel %(count)s job?", "Cancel %(count)s jobs?", "n"),
            plans=ngettext_lazy("%(count)s will be cancelled.", "%(count)s will be cancelled.", "n"),
            reports=ngettext_lazy("%(count)s job cancelled.", "%(count)s jobs cancelled.", "n"),
            icon="block",
            allowed=CANCELLABLE,
            consequence=gettext_lazy(
                "They will not run unless somebody restores or retries them. Jobs that may have been applied are not "
                "changed: discard those."
            ),
            applied=False,
        ),
        Verb(
            name="discard",
            label=gettext_lazy("Discard"),
            past=gettext_lazy("discarded"),
            asks=ngettext_lazy("Discard %(count)s job?", "Discard %(count)s jobs?", "n"),
            plans=ngettext_lazy("%(count)s will be discarded.", "%(count)s will be discarded.", "n"),
            reports=ngettext_lazy("%(count)s job discarded.", "%(count)s jobs discarded.", "n"),
            icon="delete",
            allowed=DISCARDABLE,
            consequence=gettext_lazy(
                "Dead letters are given up and purged with retention. What already ran is not undone."
            ),
            applied=True,
        ),
        Verb(
            name="restore",
            label=gettext_lazy("Restore"),
            past=gettext_lazy("restored"),
            asks=ngettext_lazy("Restore %(count)s job?", "Restore %(count)s jobs?", "n"),
            plans=ngettext_lazy("%(count)s will be restored.", "%(count)s will be restored.", "n"),
            reports=ngettext_lazy("%(count)s job restored.", "%(count)s jobs restored.", "n"),
            icon="undo",
            allowed=(State.CANCELLED,),
            consequence=gettext_lazy(
                "They become what they were before they were cancelled, with the due time they had. Jobs that are due "
                "by now start as soon as a worker is free. Dead letters become dead letters again."
            ),
            permitted_as="cancel",
        ),
    )
}
