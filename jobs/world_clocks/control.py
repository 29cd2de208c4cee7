"""Operators' actions on world clocks: configure, start, pause, resume, stop; each is audited and counts at once.

Each returns a sentence that says what happened, to the step that was under way, too.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from jobs import actor as actors
from jobs import audit, calendars, service, taking_back
from jobs.errors import InvalidWorldClock, StateConflict
from jobs.models import LONGEST_UNDO, CampaignClock, ClockState, Job, WorldClock
from jobs.states import ENDED, State
from jobs.world import ticking
from jobs.world.ticking import Position
from jobs.world_clocks.sentences import describe_rate
from jobs.world_clocks.settings import Settings, position_of, set_position
from jobs.world_clocks.waiting import LONGEST_PROBLEM, find_reasons
from scheduler_project.durations import exact_duration
from scheduler_project.links import page
from scheduler_project.text import line

log = structlog.get_logger(__name__)
LONGEST_REASON: Final = 500
_PAUSED, _SET = "wp", "ws"  #: in operator actions' `undo`; short, for the IDs of campaigns are long
_ON: Final = (ClockState.RUNNING, ClockState.PAUSED)


def undo_of_pause(campaign_id: str) -> str:
    """What takes it back that the clock was paused."""
    return f"{_PAUSED}/{_key_of(campaign_id)}"


def undo_of_settings(campaign_id: str) -> str:
    """What takes it back that the clock's settings were changed."""
    return f"{_SET}/{_key_of(campaign_id)}"


@transaction.atomic
def configure(campaign_id: str, settings: Settings, *, actor: str, reason: str = "") -> bool:
    """Set the settings; a running clock goes on with them from now. Returns whether they differ from those before.

    Raises InvalidWorldClock, naming the field.
    """
    settings.check()
    campaign = _find_campaign(campaign_id)
    clock, new = WorldClock.objects.select_for_update().get_or_create(
        pk=campaign_id, defaults=settings.as_fields() | {"actor": actor}
    )
    before = {} if new else Settings.of(clock).as_json()
    changes = {name: (before.get(name), now) for name, now in settings.as_json().items() if before.get(name) != now}
    if not changes:
        return False
    if position := _settle(clock, timezone.now()):
        set_position(clock, position, ticking.next_tick(settings.rule(), position))
    for name, value in settings.as_fields().items():
        setattr(clock, name, value)
    clock.save()
    _record(campaign, "changed", actor, reason, changes, undo="" if new else undo_of_settings(campaign_id))
    return True


def start(campaign_id: str, *, actor: str, reason: str = "") -> str:
    """Let a clock that is off or paused run. Raises InvalidWorldClock and StateConflict."""
    return _run(campaign_id, (ClockState.OFF, ClockState.PAUSED), "started", actor, reason)


def resume(campaign_id: str, *, actor: str, reason: str = "") -> str:
    """Let a paused clock go on. Raises InvalidWorldClock and StateConflict."""
    return _run(campaign_id, (ClockState.PAUSED,), "resumed", actor, reason)


def pause(campaign_id: str, *, actor: str, reason: str = "") -> str:
    """Stop a clock at once; time that it has earned is moved after it is resumed.

    Raises InvalidWorldClock and StateConflict.
    """
    return _halt(campaign_id, ClockState.PAUSED, (ClockState.RUNNING,), actor, reason)


def stop(campaign_id: str, *, actor: str, reason: str = "") -> str:
    """Switch a clock off at once; what it has earned is given up. Raises InvalidWorldClock and StateConflict."""
    return _halt(campaign_id, ClockState.OFF, _ON, actor, reason)


def pause_all(*, actor: str, reason: str = "") -> list[str]:
    """Pause every running clock; a sentence for each."""
    sentences = []
    for campaign_id in WorldClock.objects.filter(state=ClockState.RUNNING).values_list("pk", flat=True):
        try:
            sentences.append(pause(campaign_id, actor=actor, reason=reason))
        except StateConflict:  # somebody else has paused it meanwhile
            continue
    return sentences


@transaction.atomic
def _run(campaign_id: str, allowed: tuple[ClockState, ...], verb: str, actor: str, reason: str) -> str:
    campaign, clock = _find_campaign(campaign_id), _lock(campaign_id, allowed, verb)
    if not campaign.world_time:
        raise InvalidWorldClock("campaign", gettext("it has no world time: it runs on wall-clock time"))
    settings, now = Settings.of(clock), timezone.now()
    settings.check()
    kept = Position(counted_until=now, owed=clock.owed, day=clock.day, moved=clock.moved)
    position = ticking.begin(now, kept)
    set_position(clock, position, ticking.next_tick(settings.rule(), position))
    if held := find_reasons([clock], now).get(campaign_id):
        clock.problem, clock.problem_at = line(held, LONGEST_PROBLEM), now
    _set_state(clock, ClockState.RUNNING, actor, reason, now, waits=bool(held))
    _record(campaign, verb, actor, reason, {})
    rate = describe_rate(settings.rate, calendars.of(campaign_id).hours_per_day)
    log.warning("world_clock.started", campaign_id=campaign_id, rate=rate, actor=actor, reason=reason, waits_for=held)
    said = {"campaign": _name(campaign), "rate": rate, "reason": clock.problem, "duration": _until(clock, now)}
    if held:
        return gettext("The world clock of %(campaign)s is on, %(rate)s, but waits: %(reason)s.") % said
    return gettext("The world clock of %(campaign)s runs, %(rate)s. Its first step is due in %(duration)s.") % said


@transaction.atomic
def _halt(campaign_id: str, to: ClockState, allowed: tuple[ClockState, ...], actor: str, reason: str) -> str:
    verb = "paused" if to is ClockState.PAUSED else "stopped"
    campaign, clock = _find_campaign(campaign_id), _lock(campaign_id, allowed, verb)
    now = timezone.now()
    if position := _settle(clock, now):
        set_position(clock, position, None)
    step = _withdraw_step(clock, f"world clock {verb}: {reason}" if reason else f"world clock {verb}")
    clock.counted_until = None
    clock.owed = clock.owed if to is ClockState.PAUSED else 0
    was = clock.state
    _set_state(clock, to, actor, reason, now)
    undo = undo_of_pause(campaign_id) if to is ClockState.PAUSED else ""  # a stop gives up what was earned
    _record(campaign, verb, actor, reason, {"state": (was, to.value)}, undo=undo)
    log.warning("world_clock.halted", state=to.value, campaign_id=campaign_id, actor=actor, reason=reason, step=step)
    if to is ClockState.OFF:
        halted, given_up = (
            gettext("The world clock of %(campaign)s is stopped."),
            gettext("Time that it accrued is given up."),
        )
    else:
        halted, given_up = gettext("The world clock of %(campaign)s is paused."), ""
    return " ".join(filter(None, [halted % {"campaign": _name(campaign)}, step, given_up]))


def _settle(clock: WorldClock, now: datetime) -> Position | None:
    """Where a running clock is after it has counted the time up to now; None for any other.

    A row that was edited in the database so that it cannot be read counts nothing: it can be paused and corrected.
    """
    position, settings = position_of(clock), Settings.of(clock)
    if position is None:
        return None
    return ticking.begin(now, position) if settings.faults() else ticking.settle(settings.rule(), position, now)


def _withdraw_step(clock: WorldClock, reason: str) -> str:
    """Cancel the step that is under way if that is possible, and say what became of it.

    The clock is the actor: by that entry of its trail a step that is retried knows that its time is owed again.
    """
    job = Job.objects.filter(pk=clock.step_job_id).first() if clock.step_job_id else None
    if job is None or State(job.state) in ENDED or not clock.step_seconds:
        return ""
    if not service.cancel([job], actor=actors.WORLD_CLOCK, reason=reason).done:
        return gettext("Step %(number)s is running and will finish.") % {"number": clock.steps}
    if job.attempts:
        text = ngettext(
            "Step %(number)s is cancelled after %(count)s attempt, which may have moved time.",
            "Step %(number)s is cancelled after %(count)s attempts, which may have moved time.",
            job.attempts,
        )
        return text % {"number": clock.steps, "count": job.attempts}
    position = Position(counted_until=timezone.now(), owed=clock.owed, day=clock.day, moved=clock.moved)
    back = ticking.give_back(position, clock.step_seconds, clock.step_day)
    seconds, clock.step_seconds = clock.step_seconds, 0
    clock.owed, clock.moved = back.owed, back.moved
    said = {"number": clock.steps, "length": exact_duration(seconds)}
    return gettext("Step %(number)s of %(length)s had not begun and is cancelled.") % said


def _set_state(
    clock: WorldClock, state: ClockState, actor: str, reason: str, now: datetime, *, waits: bool = False
) -> None:
    clock.state, clock.waits = state, waits
    clock.actor, clock.reason, clock.since = actor, line(reason, LONGEST_REASON), now
    clock.save()


def _lock(campaign_id: str, allowed: tuple[ClockState, ...], verb: str) -> WorldClock:
    clock = WorldClock.objects.select_for_update().filter(pk=campaign_id).first()
    if clock is None:
        raise InvalidWorldClock("campaign", gettext("it has no world clock yet: set its rate first"))
    if clock.state == ClockState.OFF and verb == "resumed":
        raise StateConflict(gettext("The world clock is off. Start it first."))
    if clock.state not in allowed:
        raise StateConflict(gettext("The world clock is already %(state)s.") % {"state": clock.get_state_display()})
    return clock


def _find_campaign(campaign_id: str) -> CampaignClock:
    campaign = CampaignClock.objects.filter(pk=campaign_id).first()
    if campaign is None:
        text = gettext("no campaign “%(campaign)s” has been seen in the main API")
        raise InvalidWorldClock("campaign", text % {"campaign": campaign_id})
    return campaign


def _record(
    campaign: CampaignClock,
    verb: str,
    actor: str,
    reason: str,
    changes: Mapping[str, tuple[Any, Any]],
    undo: str = "",
) -> None:
    audit.record(
        actor=actor,
        verb=verb,
        target=f"world clock of campaign {_name(campaign)}",
        reason=line(reason, LONGEST_REASON),
        link=page("jobs_campaignclock_world_clock", campaign.pk),
        changes=changes,
        undo=undo,
    )


def _key_of(campaign_id: str) -> str:
    """What has room in an operator action's `undo`: the ID, or a digest of a long one."""
    digest = blake2b(campaign_id.encode(), digest_size=16).hexdigest()
    return campaign_id if len(campaign_id) <= LONGEST_UNDO - len(f"{_SET}/") else f"#{digest}"


def _campaign_of(key: str) -> str:
    """The campaign's ID; as it is, if there is no such clock."""
    every = WorldClock.objects.values_list("pk", flat=True) if key.startswith("#") else ()
    return next((pk for pk in every if _key_of(pk) == key), key)


def _is_as_left(key: str, changes: taking_back.Changes) -> bool:
    clock = WorldClock.objects.filter(pk=_campaign_of(key)).first()
    if clock is None or not changes:
        return False
    now = {**Settings.of(clock).as_json(), "state": clock.state}
    return {**now, **taking_back.fields_after(changes)} == now


def _take_pause_back(key: str, _changes: taking_back.Changes, actor: str) -> None:
    """It goes on from now: the time of the pause counts for nothing."""
    resume(_campaign_of(key), actor=actor)


def _take_settings_back(key: str, changes: taking_back.Changes, actor: str) -> None:
    """What was earned with the other settings stays."""
    campaign_id = _campaign_of(key)
    now = Settings.of(WorldClock.objects.select_for_update().get(pk=campaign_id))
    configure(campaign_id, now.with_json(taking_back.fields_before(changes)), actor=actor)


taking_back.add(_PAUSED, taking_back.Way("jobs.pause_worldclock", _is_as_left, _take_pause_back))
taking_back.add(_SET, taking_back.Way("jobs.change_worldclock", _is_as_left, _take_settings_back))


def _name(campaign: CampaignClock) -> str:
    return campaign.name or campaign.pk


def _until(clock: WorldClock, now: datetime) -> str:
    return exact_duration(max(0, round((clock.next_at - now).total_seconds()))) if clock.next_at else "-"
