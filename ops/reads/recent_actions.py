"""The latest operator actions, for the dashboard. All moves of one bulk action count as one action.

Moves of an older release belong to no JobAction: those in quick succession count as one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils.translation import gettext, gettext_noop

from jobs.models import AuditEntry, JobAction, OperatorAction
from jobs.models.audit import SINGLE
from jobs.models.indexes import Inlined
from jobs.states import RETRYABLE, State
from ops.labels import label_of_verb
from ops.reads.job_actions import describe
from ops.reads.reasons import typed_reason
from ops.reads.targets import name_targets
from scheduler_project.links import page

_LOOKED_AT: Final = 300  #: newest moves by people; an action that reaches beyond them has `more` set
_TOGETHER: Final = timedelta(seconds=90)  #: the longest gap between two steps of one bulk action
#: What a person did to a job, by its states before and after.
_VERBS: Final[Mapping[tuple[str, str], str]] = {
    ("", State.SCHEDULED): gettext_noop("submitted"),
    ("", State.QUEUED): gettext_noop("submitted"),
    (State.DEAD, State.CANCELLED): gettext_noop("discarded"),
    **{(was, State.QUEUED): gettext_noop("retried") for was in RETRYABLE},
}
_VERBS_TO: Final[Mapping[str, str]] = {
    State.QUEUED: gettext_noop("queued"),
    State.SCHEDULED: gettext_noop("rescheduled"),
    State.CANCELLED: gettext_noop("cancelled"),
}


@dataclass(slots=True)
class Action:
    """An operator action on a job, on many jobs at once, or on something else."""

    at: datetime
    actor: str
    verb: str
    target: str
    reason: str
    job_id: str = ""  #: one of its jobs
    jobs: int = 0
    more: bool = False  #: it has more jobs than were read
    link: str = ""


def find_latest(count: int) -> list[Action]:
    """The newest `count` actions, newest first; five queries at most."""
    done = group_moves(AuditEntry.objects.by_people().filter(Inlined(SINGLE)).order_by("-id")[:_LOOKED_AT])
    actions = list(OperatorAction.objects.filter(actor__startswith="user:").order_by("-id")[:count])
    name_targets(actions)
    done += [
        Action(
            at=action.at,
            actor=action.actor,
            verb=label_of_verb(action.verb),
            target=action.target,
            reason=action.reason,
            link=action.link,
        )
        for action in actions
    ]
    done += _find_job_actions(count)
    return sorted(done, key=lambda action: action.at, reverse=True)[:count]


def _find_job_actions(count: int) -> list[Action]:
    found = JobAction.objects.filter(actor__startswith="user:", jobs__gt=0).select_related("undoes")
    latest = list(found.order_by("-id")[:count])
    single = AuditEntry.objects.filter(action__in=[action.pk for action in latest if action.jobs == 1])
    job_of = dict(single.values_list("action_id", "job_id"))
    return [
        Action(
            at=action.at,
            actor=action.actor,
            verb=describe(action),
            target="",
            reason=action.reason,
            job_id=str(job_of.get(action.pk, "")),
            jobs=action.jobs,
            link=page("jobs_jobaction", action.pk),
        )
        for action in latest
    ]


def group_moves(moves: Iterable[AuditEntry]) -> list[Action]:
    """Moves by one person for one reason in quick succession are one action."""
    done: list[Action] = []
    oldest: datetime | None = None
    seen = 0
    for move in moves:
        seen += 1
        verb = gettext(_VERBS.get((move.was, move.now)) or _VERBS_TO.get(move.now, move.now.lower()))
        reason = typed_reason(move.actor, move.reason)
        last = done[-1] if done else None
        same = last and (last.actor, last.verb, last.reason) == (move.actor, verb, reason)
        if last and same and oldest and oldest - move.at <= _TOGETHER:
            last.jobs += 1
        else:
            done.append(Action(move.at, move.actor, verb, "", reason, job_id=str(move.job_id), jobs=1))
        oldest = move.at
    if done and seen == _LOOKED_AT:
        done[-1].more = True
    return done
