"""The door for acts on what is no job: cron tasks, pauses, the breaker, alerts, people. Each says who, what and why."""

from collections.abc import Mapping
from typing import Any

import structlog

from jobs.models import LONGEST_TARGET, OperatorAction
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
) -> OperatorAction:
    """Write down what was done, with the address and id of the request; call it in the transaction of the act itself.

    `verb` is in the past tense ("paused"), `target` names what it was done to ("queue high"), `link` is its page and
    `changes` holds before and after of each field, as JSON can hold them.
    """
    came = request_origin.current()
    act = OperatorAction.objects.create(
        actor=text.line(actor, 120),
        verb=text.line(verb, 40),
        target=text.line(target, LONGEST_TARGET),
        reason=text.line(reason, text.LONGEST_REASON),
        link=text.plain(link),
        changes=text.clean({field: list(pair) for field, pair in changes.items()}) if changes else None,
        ip=came.ip,
        request_id=came.request_id,
    )
    log.info("operator.action_recorded", actor=actor, verb=verb, target=target, reason=reason)
    return act
