"""The audit trail of operator actions on everything but jobs: cron tasks, pauses, breaker, alerts, users, groups."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from django.db import transaction

from jobs.models import LONGEST_TARGET, LONGEST_UNDO, OperatorAction
from scheduler_project import request_origin, text

log = structlog.get_logger(__name__)


def record(
    *,
    actor: str,
    verb: str,
    target: str,
    reason: str = "",
    link: str = "",
    changes: Mapping[str, tuple[Any, Any]] | None = None,
    undo: str = "",
) -> OperatorAction:
    """Record an action with the IP address and ID of the request. Call it in the transaction of the action.

    `verb` is in the past tense ("paused"), `target` names the object ("queue high"), `link` is its page and `changes`
    holds JSON values before and after for each changed field. `undo` is what its module takes it back by.
    """
    origin = request_origin.current()
    action = OperatorAction.objects.create(
        actor=text.line(actor, 120),
        verb=text.line(verb, 40),
        target=text.line(target, LONGEST_TARGET),
        reason=text.line(reason, text.LONGEST_REASON),
        link=text.plain(link),
        changes=text.clean({field: list(pair) for field, pair in changes.items()}) if changes else None,
        ip=origin.ip,
        request_id=origin.request_id,
        undo=undo if len(undo) <= LONGEST_UNDO else "",  # an ID of the main API can be longer: no Undo then
    )
    said = {"actor": actor, "verb": verb, "target": target, "reason": reason}
    transaction.on_commit(partial(log.info, "operator.action_recorded", **said))  # it may yet be rolled back
    return action
