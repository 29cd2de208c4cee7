"""What pages say of jobs that are due at a world time, and of a campaign's world that waits for one."""

from itertools import islice
from typing import Final

from django.utils.translation import gettext, ngettext

from jobs import stops
from jobs.errors import InvalidJob
from jobs.models import CampaignClock, Job, StopPhase, WorldStop
from jobs.registry import all_types
from jobs.schedules.waiting import find_unapplied
from jobs.states import RETRYABLE, State
from jobs.world.calendars.calendar import Calendar
from jobs.world.calendars.text import format_world_time
from jobs.world.clock import WorldTime
from ops.humanize import duration, format_count
from ops.labels import label_within

MOST_COUNTED: Final = 1000  #: due times before a job


def write_due(job: Job, calendar: Calendar) -> str:
    """The world time for which the job waits; empty if it waits for none."""
    return format_world_time(calendar, WorldTime.parse(job.clock_due)) if stops.waits_for_world_time(job) else ""


def explain_wait(job: Job, calendar: Calendar) -> list[str]:
    """What has to happen before a job that waits for a world time runs."""
    stop = WorldStop.objects.filter(job_id=job.pk).first()
    clock = CampaignClock.objects.filter(pk=job.campaign_id).first()
    if stop is None:
        return [gettext("No world time waits for this job any more. Run it now, or cancel it.")]
    if clock is None or not clock.world_time:
        return [gettext("Its campaign has no world time. The job waits until it has one.")]
    if not clock.is_active:
        return [gettext("The campaign is inactive in the main API. Its time stands still until it is active.")]
    reading, at = WorldTime.parse(clock.world_time), WorldTime.parse(stop.at)
    if reading < at:
        shown = format_world_time(calendar, reading)
        text = gettext("World time is %(time)s. It must advance by %(duration)s.")
        return [text % {"time": shown, "duration": duration(at.at - reading.at)}]
    first = stops.first_reached(job.campaign_id, reading)
    if first is not None and first.pk != stop.pk:
        return [gettext("Job %(job)s comes before it, and the world waits for that one.") % {"job": first.job_id}]
    return [_explain_open(job.campaign_id, at)]


def holds_world(job: Job) -> bool:
    """Whether the campaign's world waits until the job has ended."""
    return WorldStop.objects.filter(job_id=job.pk, phase=StopPhase.OPEN).exists()


def is_passed_over(job: Job) -> bool:
    """Whether world time goes on without the job, which was due at a world time and can be retried."""
    declared = all_types().get(job.type)
    if State(job.state) not in RETRYABLE or declared is None:
        return False
    try:
        return declared.parse(job.payload, job.payload_version).world_time_due() is not None
    except InvalidJob:  # of another release
        return False


def _explain_open(campaign_id: str, at: WorldTime) -> str:
    due = list(islice(find_unapplied(campaign_id, at), MOST_COUNTED + 1))
    if not due:
        return gettext("World time has been reached. The scheduler queues the job when the recalculations have ended.")
    first = due[0].row
    said = {"event": label_within(first.event_type), "entity": first.entity_name or first.entity_id}
    if len(due) > MOST_COUNTED:
        text = gettext("More than %(count)s due times are applied first, such as %(event)s of %(entity)s.")
        return text % {**said, "count": format_count(MOST_COUNTED)}
    text = ngettext(
        "%(count)s due time is applied first: %(event)s of %(entity)s.",
        "%(count)s due times are applied first, such as %(event)s of %(entity)s.",
        len(due),
    )
    return text % {**said, "count": format_count(len(due))}
