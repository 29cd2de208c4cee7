"""A submission, validated, and the job that it becomes."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from django.utils.translation import gettext

from jobs import calendars
from jobs.errors import InvalidJob
from jobs.models import Job, numbered_key, unique_key_of
from jobs.models.making import make
from jobs.registry import JobType, Payload, type_named
from jobs.states import Priority, State
from jobs.stops import AT_WORLD_TIME
from jobs.world.clock import Moment, clock_name
from scheduler_project.text import LONGEST_ID, LONGEST_SUBJECT, fits_postgresql, is_id

EARLIEST = timedelta(days=366)  #: limit for due times in the past
LATEST = timedelta(days=3660)  #: limit for due times in the future


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A job to submit, not yet validated; `payload` is decoded JSON."""

    type: object
    campaign_id: object
    payload: object
    due_at: datetime | None = None
    priority: object = None
    subject: str | None = None
    clock_due: Moment | None = None
    occurrences: int = 1
    interval: timedelta | None = None
    request_id: str = ""
    again: int = 0  #: the number of this job, if jobs for the same work have ended before


def job_of(submission: Submission, actor: str, now: datetime) -> Job:
    """The new job, validated and not stored yet. Raises InvalidJob, naming the field."""
    job_type = type_named(submission.type)
    campaign_id = _campaign_of(submission, job_type)
    payload = job_type.parse(submission.payload)
    payload.check_in(partial(calendars.of, campaign_id))
    due_at = _due_at(payload, submission, now)
    clock_due = payload.world_time_due() or submission.clock_due
    subject = payload.subject() if submission.subject is None else submission.subject
    due_key = clock_due.isoformat() if clock_due else due_at.isoformat()
    if submission.subject is None and payload.names_its_work():
        due_key = ""
    if len(subject) > LONGEST_SUBJECT or not fits_postgresql(subject):
        raise InvalidJob(
            "subject", gettext("must have at most %(most)s characters, without NUL") % {"most": LONGEST_SUBJECT}
        )
    return make(
        Job,
        type=job_type.name,
        campaign_id=campaign_id,
        subject=subject,
        payload=submission.payload,
        payload_version=payload.readable_from() or job_type.version,
        unique_key=numbered_key(unique_key_of(job_type.name, campaign_id, subject, due_key), submission.again),
        priority=_priority(submission.priority, job_type.priority),
        state=State.QUEUED if due_at <= now else State.SCHEDULED,
        due_at=due_at,
        first_due_at=due_at,
        created_at=now,
        moved_at=now,
        source=actor,
        request_id=submission.request_id,
        clock=clock_name(clock_due) if clock_due else "",
        clock_due=clock_due.isoformat() if clock_due else "",
        occurrences=submission.occurrences,
        interval=submission.interval,
    )


def _campaign_of(submission: Submission, job_type: JobType) -> str:
    campaign_id = "" if submission.campaign_id is None else submission.campaign_id
    if not isinstance(campaign_id, str) or (campaign_id and not is_id(campaign_id)):
        raise InvalidJob(
            "campaignId",
            gettext("must be a text of at most %(most)s characters, without NUL and halves of surrogate pairs")
            % {"most": LONGEST_ID},
        )
    if not campaign_id and not job_type.all_campaigns:
        raise InvalidJob("campaignId", gettext("is required for %(type)s") % {"type": job_type.name})
    return campaign_id


def _due_at(payload: Payload, submission: Submission, now: datetime) -> datetime:
    if payload.world_time_due():
        if submission.due_at:
            raise InvalidJob("dueAt", gettext("must be empty: the payload names a world time"))
        if not submission.campaign_id:
            raise InvalidJob("campaignId", gettext("is required for a job that is due at a world time"))
        return AT_WORLD_TIME
    due_at = payload.due_at() or submission.due_at or now
    check_due(due_at, "payload.executeAt" if payload.due_at() else "dueAt", now)
    return due_at.astimezone(UTC)  # the SQL statements write it as it is


def _priority(value: object, default: Priority) -> int:
    if value is None:
        return default.value
    for priority in Priority:
        if isinstance(value, int | str) and not isinstance(value, bool) and value in (priority.value, priority.name):
            return priority.value
    names = ", ".join(f"{p.name} {p.value}" for p in Priority)
    raise InvalidJob("priority", gettext("must be one of %(names)s") % {"names": names})


def check_due(due_at: Any, field_name: str, now: datetime) -> None:
    """Raise InvalidJob, naming the field, unless the time has an offset and is in range."""
    if not isinstance(due_at, datetime) or due_at.tzinfo is None:
        raise InvalidJob(field_name, gettext("must be a time with its offset from UTC, such as 2026-01-02T03:04:05Z"))
    if not now - EARLIEST <= due_at <= now + LATEST:
        text = gettext("%(time)s is more than %(ago)s days ago or more than %(ahead)s days ahead")
        said = {"time": due_at.isoformat(), "ago": EARLIEST.days, "ahead": LATEST.days}
        raise InvalidJob(field_name, text % said)
