"""Firing cron tasks, including missed firings, and creating the tasks that job types declare."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from redis import RedisError

from jobs import actor as actors
from jobs import audit, counters, service
from jobs.errors import Refused
from jobs.models import CronFiring, CronTask, FiringOutcome, Job, Misfire
from jobs.registry import all_types
from jobs.states import Priority
from scheduler_project.cron_expression import newest_matches, next_match

log = structlog.get_logger(__name__)

LATE: Final = timedelta(seconds=60)  #: a firing that is later than this was missed
MOST_MISSED: Final = 1000  #: missed firings per task that can run
LONGEST_AGO: Final = timedelta(days=365)  #: due times of missed firings are at most this old
KEPT: Final = 500  #: firings kept in each task's history


def next_fire(task: CronTask, after: datetime) -> datetime:
    """The task's first firing after `after`, in UTC."""
    return next_match(task.expression, task.time_zone, after)


def seed() -> None:
    """Create missing cron tasks that job types declare; edits in the admin are kept."""
    for name, declared in all_types().items():
        if (cron := declared.cron) and not CronTask.objects.filter(name=cron.task).exists():
            CronTask.objects.create(
                name=cron.task, expression=getattr(settings, cron.setting), type=name, priority=Priority.NORMAL
            )


def fire_due(now: datetime) -> list[Job]:
    """Submit the jobs of every task that is due at `now`, only once even if several schedulers do so.

    Firings more than LATE behind were missed while no scheduler ran; the task's misfire policy decides about them.
    """
    _enable_again(now)
    jobs: list[Job] = []
    for task in CronTask.objects.filter(enabled=True, next_fire_at__lte=now):
        try:
            jobs += fire(task, now)
        except Refused as refused:
            log.error("cron.task_rejected", task=task.name, error=str(refused), next="correct the task in the admin")
        except (DatabaseError, RedisError):
            raise
        except Exception:  # a row edited directly in the database must not stop the other tasks
            log.exception("cron.task_failed", task=task.name, next="correct the task in the admin")
    return jobs


def next_firings(task: CronTask, after: datetime, count: int) -> list[datetime]:
    """The next `count` firings after `after`, in UTC."""
    found: list[datetime] = []
    for _ in range(count):
        after = next_fire(task, after)
        found.append(after)
    return found


def trim_history() -> None:
    """Keep the newest KEPT firings of each task."""
    for task in CronTask.objects.all():
        oldest = task.firings.order_by("-id").values_list("id", flat=True)[KEPT : KEPT + 1].first()
        if oldest is not None:
            task.firings.filter(id__lte=oldest).delete()


def count_anew(now: datetime) -> None:
    """Bring forward tasks whose next firing is later than their expressions say.

    A machine whose clock was years ahead has moved them there.
    """
    for task in CronTask.objects.filter(enabled=True, next_fire_at__gt=now):
        if _is_too_late(task, now):
            _count_one_anew(task.pk, now)


@transaction.atomic
def _count_one_anew(pk: int, now: datetime) -> None:
    """By the task's current row: an operator may have edited it since it was read."""
    task = CronTask.objects.select_for_update().filter(pk=pk, enabled=True).first()
    if task and task.next_fire_at and _is_too_late(task, now):
        first = next_fire(task, now)
        CronTask.objects.filter(pk=pk).update(next_fire_at=first)
        was, then = task.next_fire_at.isoformat(), first.isoformat()
        log.warning("cron.counted_anew", task=task.name, was=was, now=then, cause="the clock was ahead")


def _is_too_late(task: CronTask, now: datetime) -> bool:
    try:
        return task.next_fire_at is not None and task.next_fire_at > next_fire(task, now)
    except ValueError:  # a row edited directly in the database
        return False


def _due_times(task: CronTask, now: datetime) -> list[datetime]:
    """The due firings, at most MOST_MISSED: the oldest within LONGEST_AGO if all will run, else the newest."""
    times = _matches(task, task.next_fire_at, now)
    if Misfire(task.misfire) is Misfire.ALL:
        oldest = now - LONGEST_AGO
        return times if not times or times[0] >= oldest else _matches(task, next_fire(task, oldest), now) or times[-1:]
    if len(times) == MOST_MISSED:
        newest = newest_matches(task.expression, task.time_zone, times[0], now, MOST_MISSED)
        times = [*times[:1], *newest][-MOST_MISSED:]
    return times


def _matches(task: CronTask, due: datetime | None, now: datetime) -> list[datetime]:
    times: list[datetime] = []
    while due is not None and due <= now and len(times) < MOST_MISSED:
        times.append(due)
        due = next_fire(task, due)
    return times


def _select_missed(task: CronTask, missed: list[datetime], now: datetime) -> list[datetime]:
    match Misfire(task.misfire):
        case Misfire.ALL:
            return missed
        case Misfire.ONCE:
            return missed[-1:]
        case Misfire.SKIP:
            return [moment for moment in missed if now - moment <= LATE][-1:]


def next_firing() -> datetime | None:
    """The time of the next firing of any enabled task."""
    enabled = CronTask.objects.filter(enabled=True).order_by("next_fire_at")
    return enabled.values_list("next_fire_at", flat=True).first()


@transaction.atomic
def fire(read: CronTask, now: datetime) -> list[Job]:
    """Move a due task on and submit its jobs; nothing when another scheduler has moved it on meanwhile.

    By the task's current row: an operator may have edited it since it was read.
    """
    due = read.next_fire_at
    task = CronTask.objects.select_for_update().filter(pk=read.pk, enabled=True, next_fire_at=due).first()
    if task is None:
        return []
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=next_fire(task, now), last_fired_at=now)
    actor, reason = actors.cron(task.name), f"cron {task.expression}"
    due_times = _due_times(task, now)
    moments = [max(at, now - LONGEST_AGO) for at in _select_missed(task, due_times, now)]
    jobs = [submit_for(task, due_at=at, actor=actor, reason=reason)[0] for at in moments]
    _count(task.name, jobs, late=bool(due and now - due > LATE))
    _note(task, due_times, jobs, now)
    due_text = due.isoformat() if due else None
    if jobs:
        log.info("cron.fired", task=task.name, jobs=[str(job.id) for job in jobs], due=due_text)
    else:
        log.warning("cron.skipped", task=task.name, due=due_text, cause="the task's misfire policy")
    return jobs


def _note(task: CronTask, due_times: list[datetime], jobs: list[Job], now: datetime) -> None:
    """Record the firings in the task's history, in the transaction of their jobs."""
    missed = len(due_times) - len(jobs)
    rows = [
        CronFiring(
            task=task,
            due_at=job.due_at,
            fired_at=now,
            job_id=job.pk,
            actor=actors.SCHEDULER,
            outcome=FiringOutcome.LATE if now - job.due_at > LATE else FiringOutcome.ON_TIME,
        )
        for job in jobs
    ]
    if rows:
        rows[-1].missed = missed
    elif due_times:
        rows = [
            CronFiring(
                task=task,
                due_at=due_times[-1],
                fired_at=now,
                outcome=FiringOutcome.MISSED,
                missed=missed,
                actor=actors.SCHEDULER,
            )
        ]
    CronFiring.objects.bulk_create(rows)


def _enable_again(now: datetime) -> None:
    """Enable tasks that were disabled until now; firings in that time do not count as missed."""
    for pk in CronTask.objects.filter(enabled=False, disabled_until__lte=now).values_list("pk", flat=True):
        try:
            _enable_one_again(pk, now)
        except ValueError as fault:  # a row edited directly in the database must not stop the other tasks
            log.error("cron.task_not_reenabled", task=pk, error=str(fault), next="correct the task in the admin")


@transaction.atomic
def _enable_one_again(pk: int, now: datetime) -> None:
    """By the current expression: an operator may have edited it since it was read."""
    task = CronTask.objects.select_for_update().filter(pk=pk, enabled=False, disabled_until__lte=now).first()
    if task is None:
        return
    CronTask.objects.filter(pk=pk).update(
        enabled=True, disabled_until=None, disabled_reason="", next_fire_at=next_fire(task, now)
    )
    audit.record(actor=actors.SCHEDULER, verb="enabled", target=f"cron task {task}", reason="expired")
    log.info("cron.reenabled", task=task.name)


def _count(task: str, jobs: list[Job], *, late: bool) -> None:
    outcome = "missed" if not jobs else "late" if late else "on_time"
    transaction.on_commit(partial(counters.add, "cron_firings", task, outcome, by=max(1, len(jobs))))


def submit_for(task: CronTask, *, due_at: datetime, actor: str, reason: str) -> tuple[Job, bool]:
    """Submit the task's job for one firing. Raises InvalidJob if the task's fields are invalid."""
    submission = service.Submission(
        type=task.type,
        campaign_id=task.campaign_id,
        payload=task.payload,
        priority=task.priority,
        due_at=due_at,
        subject=f"cron:{task.name}",
    )
    return service.submit(submission, actor=actor, reason=reason)
