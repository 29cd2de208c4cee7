"""Movements of world time: each is recorded and followed by its jobs once, whoever sees it first."""

import zlib
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from redis import Redis

from jobs.broker import keys
from jobs.engine.scheduler.purge import purge
from jobs.listener import Listener
from jobs.main_api.client import MainApi
from jobs.main_api.model import Campaign
from jobs.models import AdvancePrediction, AdvanceSource, CampaignClock, Job, WorldAdvance, new_job_id
from jobs.schedules import predictions
from jobs.schedules.advances import DatabaseAdvances, react
from jobs.schedules.clocks import begin_read, remember_all
from jobs.world.clock import WorldTime
from tests.support.advances import await_first_reading
from tests.support.servers import SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
CAMPAIGN = "campaign-1"
NOON, SIX, NEXT = (WorldTime.parse(f"1001-06-{day}:00:00Z") for day in ("01T12", "01T18", "02T12"))
JOB, OTHER = str(new_job_id()), str(new_job_id())
ADVANCES = DatabaseAdvances()


def hear(reading: WorldTime, source: AdvanceSource = AdvanceSource.MESSAGE) -> WorldAdvance | None:
    return react(CAMPAIGN, reading, source=source, actor="listener")


def read_records() -> list[tuple[str, str, str, bool]]:
    """From, to, the source and whether it was processed, oldest first."""
    found = WorldAdvance.objects.order_by("id")
    return [(a.from_time, a.to_time, a.source, a.processed_at is not None) for a in found]


def request_ids() -> set[str]:
    return set(Job.objects.values_list("request_id", flat=True))


def test_a_movement_by_others_has_a_record_and_its_jobs_once(redis: Redis) -> None:
    """The first is of unknown length; each kind of work is submitted once, under the record's request."""
    first, again, second = hear(NOON), hear(NOON), hear(SIX, AdvanceSource.CLOCK)

    assert again is None
    assert read_records() == [
        ("", NOON.isoformat(), "message", True),
        (NOON.isoformat(), SIX.isoformat(), "clock", True),
    ]
    assert first is not None
    assert second is not None
    assert request_ids() == {first.request_id, second.request_id}
    assert Job.objects.count() == 6
    assert CampaignClock.objects.get(pk=CAMPAIGN).processed_world_time == SIX.isoformat()


@pytest.mark.parametrize("heard_first", [True, False])
def test_a_job_and_the_listener_share_one_record(redis: Redis, heard_first: bool) -> None:
    """Whoever sees the clock first submits what follows; the target of the first attempt holds."""
    hear(NOON)
    Job.objects.all().delete()
    assert ADVANCES.find_target(JOB) is None
    assert ADVANCES.begin(JOB, CAMPAIGN, NOON, SIX) == SIX
    assert ADVANCES.begin(JOB, CAMPAIGN, SIX, NEXT) == SIX
    assert ADVANCES.find_target(JOB) == SIX
    if heard_first:
        hear(SIX)
    for _ in range(2):
        ADVANCES.finish(JOB, moved_from=NOON, moved_to=SIX)
    if not heard_first:
        assert hear(SIX) is None

    assert read_records()[1:] == [(NOON.isoformat(), SIX.isoformat(), "job", True)]
    assert request_ids() == {JOB}
    assert Job.objects.count() == 3


def test_a_clock_that_others_have_moved_further_is_not_set_back(redis: Redis) -> None:
    """The jobs of the job's movement are those of the later one."""
    ADVANCES.begin(JOB, CAMPAIGN, NOON, SIX)
    later = hear(NEXT)
    ADVANCES.finish(JOB, moved_from=None, moved_to=SIX)

    assert later is not None
    assert WorldAdvance.objects.get(job_id=UUID(JOB)).request_id == later.request_id
    assert CampaignClock.objects.get(pk=CAMPAIGN).processed_world_time == NEXT.isoformat()
    assert request_ids() == {later.request_id}


def test_a_list_that_is_older_than_a_movement_does_not_set_the_clock_back(redis: Redis) -> None:
    """Its read began before the job had moved time; the next one counts."""
    clock = CampaignClock.objects.filter(pk=CAMPAIGN)
    listed = [Campaign(id=CAMPAIGN, name="C", is_active=True, current_world_time=NOON.isoformat())]
    remember_all(listed, begin_read())
    ADVANCES.begin(JOB, CAMPAIGN, NOON, SIX)
    began = begin_read()
    ADVANCES.finish(JOB, moved_from=NOON, moved_to=SIX)

    remember_all(listed, began)
    assert clock.get().world_time == SIX.isoformat()
    remember_all(listed, begin_read())
    assert clock.get().world_time == NOON.isoformat()  # it went back


def test_of_two_jobs_with_one_target_one_brings_the_jobs(redis: Redis) -> None:
    for job_id in (JOB, OTHER):
        ADVANCES.begin(job_id, CAMPAIGN, NOON, SIX)
    ADVANCES.finish(OTHER, moved_from=NOON, moved_to=SIX)
    ADVANCES.finish(JOB, moved_from=None, moved_to=SIX)

    assert request_ids() == {OTHER}
    assert set(WorldAdvance.objects.values_list("request_id", flat=True)) == {OTHER}


def test_a_clock_that_went_back_is_read_again(
    listener: Listener, api: MainApi, sandbox: SandboxApi, redis: Redis
) -> None:
    """A list may be older than what a job has done since; after a restore from a backup time has really gone back."""
    began, listed = begin_read(), api.campaigns(fresh=True)
    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "to": NEXT.isoformat()})
    hear(NEXT)
    count = Job.objects.count()
    remember_all(listed, began)

    listener.catch_up_with(CAMPAIGN, NOON)  # between its list and its turn a job has moved time

    assert Job.objects.count() == count
    sandbox.control("POST", "campaigns", {"id": CAMPAIGN, "currentWorldTime": SIX.isoformat()})
    listener.catch_up.begin()
    back = WorldAdvance.objects.filter(from_time=NEXT.isoformat(), to_time=SIX.isoformat(), source="clock")
    wait_until(lambda: listener.poll() >= 0 and back.exists(), what="the restored clock is processed")


@pytest.mark.parametrize("points", [[], [12]], ids=["published", "polled"])
def test_an_advance_in_the_main_api_has_a_record(
    redis: Redis, api: MainApi, sandbox: SandboxApi, settings: Any, points: list[int]
) -> None:
    """Whether it is published or only seen."""
    settings.WORLD_TIME_POLL = timedelta(seconds=0.2 if points else 60)
    sandbox.control("POST", "dialect", {"points": points})
    listener = Listener(keys.redis(), api)
    listener.poll()
    await_first_reading(listener)
    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "to": NEXT.isoformat()})

    found = WorldAdvance.objects.filter(campaign_id=CAMPAIGN, to_time=NEXT.isoformat())
    wait_until(lambda: listener.poll() >= 0 and found.exists(), what="it is seen")
    listener.close()

    advance = found.get()
    assert (advance.source, advance.from_time) == ("clock" if points else "message", NOON.isoformat())
    assert Job.objects.filter(request_id=advance.request_id).count() == 3


def test_retention_keeps_the_target_of_a_job_that_may_be_retried(settings: Any) -> None:
    hear(NOON)
    kept = Job.objects.all()[0]
    ADVANCES.begin(str(kept.pk), CAMPAIGN, NOON, SIX)
    ADVANCES.begin(OTHER, CAMPAIGN, NOON, SIX)
    old = timezone.now() - settings.RETENTION - timedelta(minutes=1)
    WorldAdvance.objects.update(created_at=old)
    for job_id in (kept.pk, UUID(OTHER)):
        AdvancePrediction.objects.create(job_id=job_id, campaign_id=CAMPAIGN, changes=b"", created_at=old)
    ADVANCES.begin(JOB, CAMPAIGN, NOON, SIX)

    purge(timezone.now() - settings.RETENTION, Event())

    assert AdvancePrediction.objects.get().job_id == kept.pk
    assert set(WorldAdvance.objects.values_list("job_id", flat=True)) == {kept.pk, UUID(JOB)}


@pytest.mark.parametrize(
    "changes",
    [b"", b"no zlib", zlib.compress(b"{"), zlib.compress(b"[1]"), zlib.compress(b'[[["e"]],{},[],true,[]]')],
    ids=["empty", "not compressed", "cut off", "another shape", "another release's"],
)
def test_what_cannot_be_read_of_a_what_if_is_not_compared(db: None, changes: bytes) -> None:
    """The advance's page then says that nothing was kept."""
    job_id, at = new_job_id(), "1372-01-16T06:00:00.000Z"
    AdvancePrediction.objects.create(job_id=job_id, campaign_id=CAMPAIGN, from_time=at, to_time=at, changes=changes)

    assert predictions.find(job_id) is None
