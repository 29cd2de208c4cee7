"""The public interface of event policies: what becomes of events when world time passes their time."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext

from jobs import audit
from jobs.errors import InvalidPolicy
from jobs.models import CampaignClock, EventPolicy
from jobs.models.event import LONGEST_TYPE
from jobs.world.event_policies import EventAction, Policies, Policy, type_key
from scheduler_project import text
from scheduler_project.links import page
from scheduler_project.numbers import format_number

log = structlog.get_logger(__name__)
LONGEST_WAIT: Final = timedelta(days=366)  #: for an answer
MOST: Final = 1000  #: policies
_LONGEST_REASON: Final = 500


def of_campaign(campaign_id: str) -> Policies:
    """The policies that may count for a campaign's events; one query."""
    return Policies(map(_read, EventPolicy.objects.filter(campaign_id__in=["", campaign_id])))


def of_campaigns(campaign_ids: Sequence[str]) -> Policies:
    """Like `of_campaign`, for several campaigns."""
    return Policies(map(_read, EventPolicy.objects.filter(campaign_id__in=["", *campaign_ids])))


def all_rows() -> list[Any]:
    """Every policy with `campaign_name`, those of all campaigns first; one query."""
    name = Subquery(CampaignClock.objects.filter(pk=OuterRef("campaign_id")).values("name"))
    return list(EventPolicy.objects.annotate(campaign_name=name))


def set_policy(policy: Policy, *, actor: str, reason: str = "") -> bool:
    """Add a policy, or replace the one for the same campaign and type; False if it is the same already.

    Raises InvalidPolicy, naming the field.
    """
    policy = _check(policy)
    asks = policy.action is EventAction.ASK
    values = {
        "action": policy.action.value,
        "answer_minutes": policy.answer_within // timedelta(minutes=1) if asks else None,
        "default_answer": asks and policy.default_answer,
    }
    key: dict[str, Any] = {"campaign_id": policy.campaign_id, "event_type": policy.event_type}
    with transaction.atomic():
        before = EventPolicy.objects.select_for_update().filter(**key).first()
        if before is None and EventPolicy.objects.count() >= MOST:
            raise InvalidPolicy(
                "", gettext("there are %(most)s policies already, the maximum") % {"most": format_number(MOST)}
            )
        was = _describe(_read(before)) if before else {}
        if was == _describe(policy):
            return False
        row, _ = EventPolicy.objects.update_or_create(
            **key, defaults={**values, "actor": text.line(actor, 120), "since": timezone.now()}
        )
        _record("changed" if before else "added", row, was, _describe(policy), actor, reason)
    return True


def remove(policy_id: int, *, actor: str, reason: str = "") -> bool:
    """Remove a policy, so that a less specific one counts; False if it is gone."""
    with transaction.atomic():
        row = EventPolicy.objects.select_for_update().filter(pk=policy_id).first()
        if row is None:
            return False
        _record("removed", row, _describe(_read(row)), {}, actor, reason)
        row.delete()
    return True


def _check(policy: Policy) -> Policy:
    if policy.campaign_id and not text.is_id(policy.campaign_id):
        raise InvalidPolicy(
            "campaign", gettext("“%(name)s” cannot be the ID of a campaign") % {"name": policy.campaign_id}
        )
    event_type = type_key(policy.event_type)
    if len(event_type) > LONGEST_TYPE or not text.fits_postgresql(event_type):
        raise InvalidPolicy(
            "event_type", gettext("must have at most %(most)s characters, without NUL") % {"most": LONGEST_TYPE}
        )
    if policy.action is EventAction.ASK and not timedelta(minutes=1) <= policy.answer_within <= LONGEST_WAIT:
        most = LONGEST_WAIT // timedelta(minutes=1)
        raise InvalidPolicy(
            "answer_minutes", gettext("“ask” needs 1 to %(most)s minutes for an answer") % {"most": format_number(most)}
        )
    return policy._replace(event_type=event_type)


def _read(row: EventPolicy) -> Policy:
    within = timedelta(minutes=row.answer_minutes or 0)
    return Policy(EventAction(row.action), row.campaign_id, row.event_type, within, row.default_answer)


def _describe(policy: Policy) -> dict[str, Any]:
    """What people read of a policy."""
    if policy.action is not EventAction.ASK:
        return {"action": policy.action.value}
    minutes = policy.answer_within // timedelta(minutes=1)
    default = "yes" if policy.default_answer else "no"
    return {"action": policy.action.value, "answer_minutes": minutes, "default_answer": default}


def _record(verb: str, row: EventPolicy, was: dict[str, Any], now: dict[str, Any], actor: str, reason: str) -> None:
    changes = {name: (was.get(name), now.get(name)) for name in {**was, **now} if was.get(name) != now.get(name)}
    reason = text.line(reason, _LONGEST_REASON)
    link = page("jobs_eventpolicy_changelist")
    audit.record(actor=actor, verb=verb, target=f"policy for {row}", reason=reason, link=link, changes=changes)
    log.warning("event_policy.changed", actor=actor, verb=verb, policy=str(row), **now)
