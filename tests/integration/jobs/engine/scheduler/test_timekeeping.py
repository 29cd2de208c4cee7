"""The scheduler and cron tasks, on a real database and Redis."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone
from redis import Redis

from jobs import service
from jobs.broker import keys
from jobs.cron import firing, tasks
from jobs.engine.scheduler.rescuer import Rescuer
from jobs.engine.scheduler.retention import Retention
from jobs.engine.scheduler.scheduler import Alarm, Scheduler
from jobs.models import CronFiring, CronTask, Job, Misfire
from jobs.service import Submission
from jobs.states import Priority

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_earlier_due_time_wakes_the_scheduler(redis: Redis) -> None:
    """Also one that arrives between its look at the schedule and its sleep; then it sleeps again."""
    alarm = Alarm(redis)
    alarm.set()
    wanted = [Submission(type="EVENT_EXPIRATION", campaign_id=c, payload={}, due_at=in_a_minute()) for c in "ab"]
    for one in wanted:
        service.submit(one, actor="test")

    woken, *later = [measure_sleep(alarm, seconds) for seconds in (30, 0.2, 0.2, 0.2)]
    alarm.close()

    assert woken < 10
    assert max(later) >= 0.2  # the second job may have rung once more


def test_a_rejected_task_does_not_spin_the_scheduler(redis: Redis) -> None:
    """Its type is gone: it stays due, is tried once a second, and the others fire."""
    now = timezone.now()
    CronTask.objects.filter(name="event-expiration").update(next_fire_at=now, type="GONE")
    CronTask.objects.filter(name="settlement-growth").update(next_fire_at=now)
    scheduler = Scheduler(connection=redis)

    scheduler.fire(now)
    assert [job.source for job in Job.objects.all()] == ["cron:settlement-growth"]

    scheduler.fire(now)
    assert scheduler.fire_at >= now + timedelta(seconds=1)


def test_a_broken_task_delays_no_other(redis: Redis) -> None:
    """Its time zone is unknown, or somebody edited the table."""
    now = timezone.now()
    CronTask.objects.filter(name="event-expiration").update(next_fire_at=now, time_zone="No/Such")
    CronTask.objects.filter(name="settlement-growth").update(next_fire_at=now)

    Scheduler(connection=redis).fire(now)

    assert [job.source for job in Job.objects.all()] == ["cron:settlement-growth"]


def test_cron_tasks_fire_while_many_jobs_come_due(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Due jobs are queued in slices of a second; those waiting for the next slice do not count as lost."""
    monkeypatch.setattr("jobs.engine.scheduler.scheduler.BATCH", 2)
    monkeypatch.setattr("jobs.engine.scheduler.scheduler.SLICE_SECONDS", 0.0)
    later = timezone.now() + timedelta(minutes=1)
    wanted = [Submission(type="EVENT_EXPIRATION", campaign_id=c, payload={}, due_at=later) for c in "abcde"]
    jobs = [job for job, _ in service.submit_many(wanted, actor="test")]
    scheduler = Scheduler(connection=redis)

    scheduler.queue_due(later)
    assert redis.zcard(keys.SCHEDULED) == 3

    Rescuer(redis).queue_overdue(later + timedelta(minutes=1))
    assert Job.objects.filter(pk__in=[job.pk for job in jobs], state="QUEUED").count() == 2


def measure_sleep(alarm: Alarm, seconds: float) -> float:
    """How long it waited, in seconds."""
    began = time.monotonic()
    alarm.wait(seconds)
    return time.monotonic() - began


def in_a_minute() -> datetime:
    """Soon enough to be in the schedule."""
    return timezone.now() + timedelta(minutes=1)


def test_cron_tasks_fire_again_after_the_machine_s_clock_was_years_ahead(redis: Redis) -> None:
    """Retention, which runs again too, finds the firings that are later than their expressions say."""
    task, now = CronTask.objects.get(name="event-expiration"), timezone.now()
    CronTask.objects.filter(pk=task.pk).update(expression="*/5 * * * *", next_fire_at=now)
    ahead, retention = now + timedelta(days=5 * 365), Retention(redis)
    firing.fire_due(ahead)
    retention.poll(ahead)
    task.refresh_from_db()
    assert task.next_fire_at
    assert task.next_fire_at > ahead

    retention.poll(now)

    task.refresh_from_db()
    assert task.next_fire_at == firing.next_fire(task, now)
    Job.objects.all().delete()
    assert len(firing.fire_due(task.next_fire_at)) == 1


def test_a_cron_task_fires_once_per_due_time(redis: Redis) -> None:
    """Two schedulers at the same time make one job, and the next firing lies ahead."""
    now = timezone.now()
    CronTask.objects.filter(name="event-expiration").update(next_fire_at=now - timedelta(seconds=5))

    first, second = firing.fire_due(now), firing.fire_due(now)

    assert [len(first), len(second)] == [1, 0]
    task = CronTask.objects.get(name="event-expiration")
    assert task.next_fire_at is not None
    assert task.next_fire_at > now
    assert Job.objects.get().source == "cron:event-expiration"


def test_two_schedulers_that_read_the_same_task_fire_it_once(redis: Redis) -> None:
    """The second finds the task moved on and submits nothing."""
    now = timezone.now()
    CronTask.objects.filter(name="event-expiration").update(next_fire_at=now - timedelta(seconds=5))
    mine, theirs = (CronTask.objects.get(name="event-expiration") for _ in range(2))

    assert len(firing.fire(mine, now)) == 1
    assert firing.fire(theirs, now) == []
    assert Job.objects.count() == 1


def test_a_task_that_is_edited_after_it_was_read_fires_as_it_stands(redis: Redis) -> None:
    now = timezone.now()
    tasks = CronTask.objects.filter(name="event-expiration")
    tasks.update(next_fire_at=now - timedelta(seconds=5))
    read = tasks.get()
    tasks.update(campaign_id="campaign-2", priority=Priority.LOW, expression="0 0 1 1 *")

    (job,) = firing.fire(read, now)

    assert (job.campaign_id, job.priority) == ("campaign-2", Priority.LOW)
    edited = tasks.get()
    assert edited.next_fire_at == firing.next_fire(edited, now)
    assert job.audit_trail.get().reason == "cron 0 0 1 1 *"


def test_a_task_that_is_edited_when_it_is_due_fires_all_the_same(redis: Redis) -> None:
    """Unless it was given other times, which count from then."""
    now = timezone.now()
    tasks = CronTask.objects.filter(name="event-expiration")
    tasks.update(next_fire_at=now - timedelta(seconds=5))
    edited = tasks.get()
    edited.priority = Priority.LOW
    edited.save()

    (job,) = firing.fire_due(now)
    assert job.priority == Priority.LOW

    tasks.update(next_fire_at=now - timedelta(seconds=5))
    edited = tasks.get()
    edited.expression = "30 4 2 1 *"
    edited.save()
    assert firing.fire_due(now) == []


@pytest.mark.parametrize("what", ["enabled again", "counted anew"])
def test_the_next_run_is_computed_by_the_task_as_it_stands(redis: Redis, what: str) -> None:
    """Somebody edits the expression after the scheduler has read it, and the time that it had stays the same."""
    now = timezone.now()
    ahead = now + timedelta(days=900)
    fields = {"enabled": False, "disabled_until": now, "next_fire_at": None}
    if what == "counted anew":
        fields = {"enabled": True, "disabled_until": None, "next_fire_at": ahead}
    task = CronTask.objects.get(name="event-expiration")
    CronTask.objects.filter(pk=task.pk).update(expression="0 3 * * *", **fields)
    edited: list[int] = []

    def edit(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        found = execute(sql, params, many, context)
        if not edited and sql.startswith("SELECT") and "jobs_crontask" in sql:
            edited.append(CronTask.objects.filter(pk=task.pk).update(expression="30 4 * * *"))
        return found

    with connection.execute_wrapper(edit):
        firing.fire_due(now) if what == "enabled again" else firing.count_anew(now)

    task.refresh_from_db()
    assert edited == [1]
    assert task.enabled
    assert task.next_fire_at
    assert (task.next_fire_at.hour, task.next_fire_at.minute) == (4, 30)


def test_a_broken_task_keeps_no_other_disabled(redis: Redis) -> None:
    """Somebody edited the table."""
    now = timezone.now()
    until = {"enabled": False, "disabled_until": now}
    CronTask.objects.filter(name="event-expiration").update(time_zone="No/Such", **until)
    CronTask.objects.filter(name="settlement-growth").update(**until)

    firing.fire_due(now)

    assert set(CronTask.objects.filter(disabled_until=now).values_list("name", flat=True)) == {"event-expiration"}


@pytest.mark.parametrize(
    ("expression", "zone", "after", "fires"),
    [
        ("*/5 * * * *", "UTC", "2026-01-01T00:01:00+00:00", "2026-01-01T00:05:00+00:00"),
        ("*/20 * * * * *", "UTC", "2026-01-01T00:00:01+00:00", "2026-01-01T00:00:20+00:00"),
        ("0 12 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29T10:00:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+00:00", "2026-10-25T00:30:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"),
        ("* 59 2 * * *", "Europe/Berlin", "2026-10-25T00:59:59+00:00", "2026-10-26T01:59:00+00:00"),
        ("30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"),
        ("0 */2 * * *", "Europe/Berlin", "2026-10-25T00:00:00+00:00", "2026-10-25T01:00:00+00:00"),
    ],
)
def test_next_firing(expression: str, zone: str, after: str, fires: str) -> None:
    """Five fields, six with seconds first; noon stays noon when the clocks go forward, a time of the night that is left
    out or repeated then counts once, and every hour is every hour.
    """
    task = CronTask(expression=expression, time_zone=zone)

    assert firing.next_fire(task, datetime.fromisoformat(after)) == datetime.fromisoformat(fires)


@pytest.mark.parametrize(
    ("misfire", "down_for", "jobs"),
    [
        (Misfire.ONCE, timedelta(minutes=20), 1),
        (Misfire.ALL, timedelta(minutes=20), 5),
        (Misfire.SKIP, timedelta(minutes=22), 0),
        (Misfire.SKIP, timedelta(minutes=20), 1),  # the last of them is due just now
        (Misfire.SKIP, timedelta(seconds=3), 1),
    ],
)
def test_missed_runs_are_caught_up_as_the_task_says(
    redis: Redis, misfire: Misfire, down_for: timedelta, jobs: int
) -> None:
    """After a time without a scheduler: none, one or all of them; the next run lies ahead."""
    first = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    task = CronTask(name="t", expression="*/5 * * * *", type="EVENT_EXPIRATION", misfire=misfire)
    task.save()
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=first)

    fired = firing.fire_due(first + down_for)

    task.refresh_from_db()
    assert len(fired) == jobs
    assert len({job.due_at for job in fired}) == jobs
    assert task.next_fire_at is not None
    assert first + down_for < task.next_fire_at <= first + down_for + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("misfire", "expression", "jobs"),
    [
        (Misfire.ONCE, "0 {hour} * * *", 1),
        (Misfire.ALL, "0 {hour} * * *", 365),
        (Misfire.ALL, "0 * * * *", firing.MOST_MISSED),
        (Misfire.SKIP, "0 {hour} * * *", 0),
        (Misfire.ONCE, "0 0 29 2 *", 1),  # its last firing lies further back than a job may be due
        (Misfire.ALL, "0 0 29 2 *", 1),
        (Misfire.SKIP, "0 0 29 2 *", 0),
    ],
)
def test_a_task_missed_for_years_is_caught_up_within_bounds(
    redis: Redis, misfire: Misfire, expression: str, jobs: int
) -> None:
    """Runs older than a job's due time may be are caught up as if they were not."""
    now = datetime.now(UTC)
    daily = expression.format(hour=(now.hour + 12) % 24)  # half a day ago, whenever the test runs
    task = CronTask(name="t", expression=daily, type="EVENT_EXPIRATION", misfire=misfire)
    task.save()
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=firing.next_fire(task, now - timedelta(days=3 * 1461)))

    fired = firing.fire_due(now)

    task.refresh_from_db()
    assert len({job.pk for job in fired}) == len(fired) == jobs
    assert all(now - firing.LONGEST_AGO <= job.due_at <= now for job in fired)
    assert task.next_fire_at is not None
    assert task.next_fire_at > now
    assert CronFiring.objects.filter(task=task).count() == max(1, jobs)


@pytest.mark.parametrize(
    ("expression", "first", "now", "newest"),
    [
        ("* * * * * *", "2026-06-01T11:00:00", "2026-06-01T13:00:00", "2026-06-01T13:00:00"),
        ("* 9-17 * * *", "2026-06-01T11:00:00", "2026-06-05T17:59:30", "2026-06-05T17:59:00"),
        ("* 9-17 * * 1-5", "2026-06-01T11:00:00", "2026-06-07T12:00:00", "2026-06-05T17:59:00"),
    ],
)
def test_the_newest_of_very_many_missed_runs_is_caught_up(
    redis: Redis, expression: str, first: str, now: str, newest: str
) -> None:
    """However many lie before it, and though the last 1,000 are closer together than the first."""
    task = CronTask(name="t", expression=expression, type="EVENT_EXPIRATION", misfire=Misfire.ONCE)
    task.save()
    CronTask.objects.exclude(pk=task.pk).update(enabled=False)
    CronTask.objects.filter(pk=task.pk).update(next_fire_at=datetime.fromisoformat(f"{first}+00:00"))

    (job,) = firing.fire_due(datetime.fromisoformat(f"{now}+00:00"))

    assert job.due_at == datetime.fromisoformat(f"{newest}+00:00")
    assert CronFiring.objects.get(task=task).missed == firing.MOST_MISSED - 1


@pytest.mark.parametrize("expression", ["x", "0 0 31 2 *", "* * * *", "* * * * * * *"])
def test_a_task_that_can_never_fire_is_rejected(expression: str) -> None:
    """Each error is reported under its field."""
    task = CronTask(name="x", type="NO_SUCH", expression=expression, time_zone="x", payload={})

    with pytest.raises(ValidationError) as caught:
        tasks.validate(task)
    assert set(caught.value.message_dict) == {"expression", "time_zone", "type"}


def test_a_task_cannot_name_a_world_time() -> None:
    """It comes once, and the task has times of its own."""
    payload = {"effectId": "e", "executeAtWorldTime": "1372-01-16T06:00:00Z"}
    task = CronTask(name="x", type="DEFERRED_EFFECT", campaign_id="c", expression="0 * * * *", payload=payload)

    with pytest.raises(ValidationError) as caught:
        tasks.validate(task)

    assert caught.value.message_dict.keys() == {"payload"}
