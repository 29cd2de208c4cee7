"""Operators' actions on cron tasks: validate, enable, disable, run now; each is audited."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from jobs import audit, taking_back
from jobs.cron import firing
from jobs.errors import InvalidJob, StateConflict
from jobs.models import CronFiring, CronTask, FiringOutcome, Job
from jobs.registry import type_named
from scheduler_project.cron_expression import fires
from scheduler_project.links import page
from scheduler_project.moments import read_zone
from scheduler_project.text import is_id, line

LONGEST_REASON: Final = 300
_KIND: Final = "cron"  #: in an operator action's `undo`
SETTINGS: Final = (
    "name",
    "expression",
    "time_zone",
    "type",
    "campaign_id",
    "payload",
    "priority",
    "misfire",
    "enabled",
    "disabled_until",
    "disabled_reason",
)
LONGEST: Final = timedelta(days=3660)  #: a task cannot be disabled for longer, except without an end


def validate(task: CronTask) -> None:
    """Check that a task can fire. Raises Django's ValidationError with each error under its field."""
    faults: dict[str, str] = {}
    if not fires(task.expression):
        text = gettext(
            "“%(expression)s” is not a cron expression of five or six fields (seconds first) that ever matches"
        )
        faults["expression"] = text % {"expression": task.expression}
    try:
        read_zone(task.time_zone)
    except ValueError:
        faults["time_zone"] = gettext("There is no time zone “%(zone)s”.") % {"zone": task.time_zone[:100]}
    try:
        job_type = type_named(task.type)
        if job_type.parse(task.payload).world_time_due():
            faults["payload"] = gettext("names a world time, which comes once; a cron task has times of its own")
        if not task.campaign_id and not job_type.all_campaigns:
            faults["campaign_id"] = gettext("%(type)s needs a campaign") % {"type": task.type}
        if task.campaign_id and not is_id(task.campaign_id):
            text = gettext("“%(name)s” cannot be the ID of a campaign")
            faults["campaign_id"] = text % {"name": task.campaign_id}
    except InvalidJob as bad:
        faults["type" if bad.field == "type" else "payload"] = str(bad)
    if faults:
        raise ValidationError(faults)


def record_change(
    task: CronTask, changes: Mapping[str, tuple[Any, Any]], *, new: bool, actor: str, reason: str
) -> None:
    """Audit that a task was created or changed; call it in the transaction of the change."""
    plain = {name: (_plain(was), _plain(now)) for name, (was, now) in changes.items()}
    _record(task, "made" if new else "changed", actor, reason, plain)


def enable(task: CronTask, *, actor: str, reason: str = "") -> bool:
    """Let the task fire from now on; firings while it was disabled do not count as missed.

    Returns whether that changed anything.
    """
    with transaction.atomic():
        if not _lock(task) or task.enabled:
            return False
        before = _settings_of(task)
        task.enabled = True
        task.save()
        _record(task, "enabled", actor, reason, _compare(before, _settings_of(task)))
    return True


def check_until(until: datetime | None) -> None:
    """Raises ValueError if `until` is in the past or more than LONGEST ahead."""
    if until is not None and until <= timezone.now():
        raise ValueError(gettext("%(time)s is in the past") % {"time": f"{until:%Y-%m-%d %H:%M %Z}"})
    if until is not None and until - timezone.now() > LONGEST:
        raise ValueError(
            gettext("that is more than ten years ahead: leave it empty to disable it until somebody enables it")
        )


def disable(task: CronTask, *, until: datetime | None, actor: str, reason: str = "") -> bool:
    """Stop the task from firing until `until`, or until it is enabled. Returns whether that changed anything.

    Raises ValueError as `check_until` does, and StateConflict if somebody has disabled it until another time.
    """
    check_until(until)
    with transaction.atomic():
        if not _lock(task):
            return False
        if not task.enabled and task.disabled_until != until:
            raise StateConflict(_describe_end(task.disabled_until))
        if not task.enabled:
            return False
        before = _settings_of(task)
        task.enabled, task.disabled_until, task.disabled_reason = False, until, line(reason, LONGEST_REASON)
        task.save()
        _record(task, "disabled", actor, reason, _compare(before, _settings_of(task)))
    return True


def _describe_end(until: datetime | None) -> str:
    if until is None:
        return gettext("it is disabled already, until somebody enables it")
    time = f"{timezone.localtime(until):%Y-%m-%d %H:%M %Z}"
    return gettext("it is disabled already, until %(time)s") % {"time": time}


def _lock(task: CronTask) -> bool:
    """Read the task again, for it may have been edited or have fired since; False if it is gone."""
    try:
        task.refresh_from_db(from_queryset=CronTask.objects.select_for_update())
    except CronTask.DoesNotExist:
        return False
    return True


def run_now(task: CronTask, *, actor: str, reason: str = "") -> Job:
    """Submit the task's job now, in addition to its schedule. Raises InvalidJob if the task's fields are invalid."""
    now = timezone.now()
    with transaction.atomic():
        job, _ = firing.submit_for(task, due_at=now, actor=actor, reason=reason or f"{task.name} run now")
        CronFiring.objects.create(
            task=task, due_at=now, fired_at=now, outcome=FiringOutcome.BY_HAND, job_id=job.pk, actor=actor
        )
    return job


def undo_of(task: CronTask) -> str:
    """What takes back the latest change of the task."""
    return f"{_KIND}/{task.pk}"


def record_deletion(task: CronTask, *, actor: str) -> None:
    """Audit that a task was deleted; call it in the transaction of the deletion."""
    audit.record(actor=actor, verb="deleted", target=f"cron task {task.name}")


def _record(task: CronTask, verb: str, actor: str, reason: str, changes: Mapping[str, tuple[Any, Any]]) -> None:
    link = page("jobs_crontask_change", task.pk)
    undo = undo_of(task) if verb != "made" else ""
    audit.record(
        actor=actor, verb=verb, target=f"cron task {task.name}", reason=reason, link=link, changes=changes, undo=undo
    )


def _settings_of(task: CronTask) -> dict[str, Any]:
    return {name: _plain(getattr(task, name)) for name in SETTINGS}


def _compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (was, after[name]) for name, was in before.items() if was != after[name]}


def _is_as_left(key: str, changes: taking_back.Changes) -> bool:
    task = CronTask.objects.filter(pk=key).first()
    after = taking_back.fields_after(changes)
    return task is not None and bool(after) and {**_settings_of(task), **after} == _settings_of(task)


def _take_back(key: str, changes: taking_back.Changes, actor: str) -> None:
    """If its times change, the next run is counted from now: runs that it has missed since are not made up for."""
    task = CronTask.objects.select_for_update().get(pk=key)
    before = _settings_of(task)
    for name, value in taking_back.fields_before(changes).items():
        setattr(task, name, datetime.fromisoformat(value) if name == "disabled_until" and value else value)
    try:
        validate(task)
    except ValidationError as fault:
        text = gettext("the former settings are no longer valid: %(faults)s")
        raise StateConflict(text % {"faults": "; ".join(fault.messages)}) from None
    task.save()
    verbs = {True: "enabled", False: "disabled"} if "enabled" in changes else {}
    _record(task, verbs.get(task.enabled, "changed"), actor, "", _compare(before, _settings_of(task)))


taking_back.add(_KIND, taking_back.Way("jobs.change_crontask", _is_as_left, _take_back))


def _plain(value: Any) -> Any:
    """Convert a value for JSON."""
    return value.isoformat() if isinstance(value, datetime) else value
