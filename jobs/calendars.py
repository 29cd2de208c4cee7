"""The public interface of campaigns' calendars: which one counts, and setting it.

The main API's calendar comes first, then the one set in the admin, then the Gregorian one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone
from django.utils.translation import gettext

from jobs import audit
from jobs.main_api.worlds import Served
from jobs.models import CampaignCalendar, CampaignClock
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.checks import InvalidCalendar
from jobs.world.calendars.examples import GREGORIAN
from jobs.world.calendars.lines import to_lines
from scheduler_project import text

log = structlog.get_logger(__name__)
LONGEST_FAULT: Final = 1000
FIELDS: Final = Calendar.__dataclass_fields__.keys()


@cache
def _gregorian(names: tuple[str, ...]) -> Calendar:
    """GREGORIAN with other names: those of its months, then of its weekdays, then its own.

    With names that no calendar can have, as a wrong translation may give, it stays English.
    """
    months = tuple(replace(month, name=name) for month, name in zip(GREGORIAN.months, names, strict=False))
    renamed = {month.name: name for month, name in zip(GREGORIAN.months, names, strict=False)}
    rules = tuple(replace(rule, month=renamed[rule.month]) for rule in GREGORIAN.leap_rules)
    weekdays = names[len(months) : -1]
    try:
        return replace(GREGORIAN, name=names[-1], months=months, weekdays=weekdays, leap_rules=rules)
    except InvalidCalendar as fault:
        log.warning("calendars.translation_unusable", error=str(fault))
        return GREGORIAN


def default_calendar() -> Calendar:
    """The calendar of campaigns without one: the Gregorian, in the language of pages. Django knows its names."""
    own = (*(month.name for month in GREGORIAN.months), *GREGORIAN.weekdays)
    return _gregorian((*map(gettext, own), gettext("Gregorian")))


class ChosenCalendar(NamedTuple):
    """A campaign's calendar and where it comes from."""

    calendar: Calendar
    name: str  #: "main API", "admin" or "default"
    fault: str = ""  #: why the main API's calendar is not used, although it has one


def of(campaign_id: str) -> Calendar:
    """The calendar that counts for a campaign."""
    return find(campaign_id).calendar


def of_campaigns(campaign_ids: Iterable[str]) -> dict[str, Calendar]:
    """As `of`, by campaign; one query."""
    ids = list(campaign_ids)
    rows = CampaignCalendar.objects.in_bulk(ids)
    return {one: choose(rows[one].own, rows[one].served).calendar if one in rows else default_calendar() for one in ids}


def find(campaign_id: str) -> ChosenCalendar:
    row = CampaignCalendar.objects.filter(pk=campaign_id).first()
    return choose(row.own, row.served, row.fault) if row else ChosenCalendar(default_calendar(), "default")


def choose(own: object, served: object, fault: str = "") -> ChosenCalendar:
    """Choose between the two calendars of a row. One that this release cannot read is logged and does not count."""
    for name, plain in (("main API", served), ("admin", own)):
        if plain is not None:
            try:
                return ChosenCalendar(from_plain(plain), name, fault)
            except ValueError as error:
                log.warning("calendars.stored_unreadable", source=name, error=str(error)[:300])
                fault = fault or str(error)[:300]
    return ChosenCalendar(default_calendar(), "default", fault)


def annotations(campaign_id: str) -> dict[str, Subquery]:
    """Add to a query what `choose` needs, as own_calendar and served_calendar; `campaign_id` names its field."""
    row = CampaignCalendar.objects.filter(pk=OuterRef(campaign_id))
    return {f"{name}_calendar": Subquery(row.values(name)) for name in ("own", "served")}


def set_own(campaign_id: str, calendar: Calendar, *, actor: str, reason: str, link: str = "") -> bool:
    """Set a campaign's calendar; False if it is the same already."""
    return _write_own(campaign_id, to_plain(calendar), "changed", actor=actor, reason=reason, link=link)


def remove_own(campaign_id: str, *, actor: str, reason: str, link: str = "") -> bool:
    """Remove the calendar that was set, so that the Gregorian one counts; False if there is none."""
    return _write_own(campaign_id, None, "removed", actor=actor, reason=reason, link=link)


def remember(served: Mapping[str, Served], *, asked: Iterable[str]) -> None:
    """Store what the main API has for some of the campaigns that were asked about; of the others it is not clear.

    A calendar that cannot be used is logged and does not count.
    """
    now = timezone.now()
    CampaignCalendar.objects.bulk_create(
        [CampaignCalendar(campaign_id=campaign_id, asked_at=now) for campaign_id in asked if campaign_id not in served],
        update_conflicts=True,
        unique_fields=["campaign_id"],
        update_fields=["asked_at"],
    )
    for campaign_id, one in served.items():
        if one.fault:
            log.warning("calendars.refused", campaign_id=campaign_id, fault=one.fault[:300])
    CampaignCalendar.objects.bulk_create(
        [
            CampaignCalendar(
                campaign_id=campaign_id,
                served=to_plain(one.calendar) if one.calendar else None,
                fault=text.plain(one.fault[:LONGEST_FAULT]),
                asked_at=now,
            )
            for campaign_id, one in served.items()
        ],
        update_conflicts=True,
        unique_fields=["campaign_id"],
        update_fields=["served", "fault", "asked_at"],
    )


def to_plain(calendar: Calendar) -> dict[str, Any]:
    """As JSON."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(calendar))
    return {**plain, "epoch": calendar.epoch.isoformat()}


def from_plain(plain: object) -> Calendar:
    """From JSON. Raises ValueError naming the field."""
    if not isinstance(plain, Mapping):
        raise ValueError("expected an object")
    try:
        return msgspec.convert({**plain, "epoch": {"at": plain.get("epoch")}}, Calendar)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _write_own(
    campaign_id: str, plain: dict[str, Any] | None, verb: str, *, actor: str, reason: str, link: str
) -> bool:
    with transaction.atomic():
        row, _ = CampaignCalendar.objects.select_for_update().get_or_create(pk=campaign_id)
        before, row.own = row.own, plain
        if before == plain:
            return False
        row.save(update_fields=["own"])
        was, now = _lines(before), _lines(plain)
        named = CampaignClock.objects.filter(pk=campaign_id).values_list("name", flat=True).first()
        audit.record(
            actor=actor,
            verb=verb,
            target=f"calendar of campaign {named or campaign_id}",
            reason=reason,
            link=link,
            changes={field: (was.get(field), now.get(field)) for field in FIELDS if was.get(field) != now.get(field)},
        )
        return True


def _lines(plain: object) -> Mapping[str, Any]:
    """What people read of a stored calendar; nothing of one that this release cannot read."""
    try:
        return to_lines(from_plain(plain))
    except ValueError:
        return {}
