"""Forecasts and what-ifs as JSON values: of the HTTP API and of commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.errors import JobError
from jobs.schedules.forecast import Forecast, Line, Period
from jobs.schedules.what_if import EntityChange, TownChange, WhatIf
from jobs.world.clock import Moment, clock_name

MOST_FAILED = 100  #: things that could not be read and are named


def forecast_as_json(forecast: Forecast, lines: Sequence[Line], following: str) -> dict[str, Any]:
    """One page of a forecast; `following` is the cursor of the next one."""
    world = forecast.world
    return {
        "campaignId": world.campaign.id,
        "isActive": world.campaign.is_active,
        "clock": clock_name(world.now),
        "now": world.now.isoformat(),
        "until": forecast.until.isoformat(),
        "periods": [_period(period, world.now) for period in forecast.periods()],
        "lines": [line_as_json(line, world.now) for line in lines],
        "next": following or None,
        "eventsToCome": world.knows_events,
        "unreadable": _failures(world.failed),
    }


def line_as_json(line: Line, now: Moment) -> dict[str, Any]:
    """A line; it is overdue if `now` has passed it."""
    return {
        "at": line.at.isoformat(),
        "overdue": line.at.at <= now.at,
        "event": line.event,
        "settlementId": line.town.settlement.id if line.town else None,
        "settlementName": line.town.settlement.name if line.town else None,
        "entityType": line.entity_type,
        "entityId": line.entity_id,
        "entityName": line.entity_name,
        "summary": line.summary,
        "before": dict(line.before),
        "after": dict(line.after),
    }


def what_if_as_json(found: WhatIf, towns: Sequence[TownChange], following: str) -> dict[str, Any]:
    """Some towns of a what-if; `following` is the cursor of the next ones."""
    world = found.world
    return {
        "campaignId": world.campaign.id,
        "isActive": world.campaign.is_active,
        "clock": clock_name(world.now),
        "now": world.now.isoformat(),
        "to": found.until.isoformat(),
        "totals": dict(found.totals),
        "settlementsChanged": len(found.towns),
        "expiredEvents": [
            {"id": event.id, "name": event.name, "scheduledAt": event.scheduled_at} for event in found.expired
        ],
        "triggeredEvents": [
            {"id": one.event.id, "name": one.event.name, "scheduledAt": one.at.isoformat(), "asked": one.asks}
            for one in found.coming
        ],
        "jobs": [
            {"id": str(job.pk), "type": job.type, "subject": job.subject, "at": at.isoformat()}
            for at, job in found.jobs
        ],
        "settlements": [
            {
                "id": one.town.settlement.id,
                "name": one.town.settlement.name,
                "change": _change(one.settlement) if one.settlement else None,
                "structures": [
                    {"id": change.entity_id, "name": change.entity_name, "change": _change(change)}
                    for change in one.structures
                ],
            }
            for one in towns
        ],
        "next": following or None,
        "eventsToCome": world.knows_events,
        "unreadable": _failures(world.failed),
    }


def _period(period: Period, now: Moment) -> dict[str, Any]:
    overdue = period.until.at <= now.at
    return {
        "from": None if overdue else period.after.isoformat(),
        "until": period.until.isoformat(),
        "overdue": overdue,
        "counts": dict(period.counts),
        "total": period.total,
        "cursor": period.cursor,
    }


def _change(change: EntityChange) -> dict[str, Any]:
    return {"occurrences": dict(change.occurrences), "before": dict(change.before), "after": dict(change.after)}


def _failures(failed: Mapping[str, JobError]) -> dict[str, str]:
    return {name: str(error)[:500] for name, error in list(failed.items())[:MOST_FAILED]}
