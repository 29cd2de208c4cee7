"""jobs/types/advance_world_time.py: what a payload means."""

from typing import Any

import pytest

from jobs import calendars
from jobs.errors import InvalidJob, JobError, PermanentError, Skip
from jobs.models import Job
from jobs.registry import type_named
from jobs.service import Submission, submit
from jobs.types.advance_world_time import AdvanceWorldTime, Until, target_of
from jobs.world.calendars.examples import GREGORIAN, TIDES
from jobs.world.clock import WorldTime

CLOCK = WorldTime.parse("1372-01-16T06:00:00Z")
DUE = WorldTime.parse("1372-01-16T07:30:00Z")


def find_nothing(_until: Until) -> WorldTime:
    raise Skip("nothing")


def parse(payload: dict[str, Any]) -> AdvanceWorldTime:
    parsed = type_named("ADVANCE_WORLD_TIME").parse(payload)
    assert isinstance(parsed, AdvanceWorldTime)
    return parsed


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "payload"),
        ({"cause": "rest-7"}, "payload"),
        ({"to": "1372-01-17T06:00Z", "byMinutes": 5}, "payload.byMinutes"),
        ({"to": "1372-01-17T06:00Z", "until": "NEXT_DUE"}, "payload.until"),
        ({"byMinutes": 5, "until": "NEXT_DUE"}, "payload.until"),
        ({"to": "soon"}, "payload.to"),
        ({"to": "1372-01-17T06:00"}, "payload.to"),
        ({"to": "10000-01-01T00:00Z"}, "payload.to"),
        ({"to": 1372}, "payload.to"),
        ({"byMinutes": 0}, "payload.byMinutes"),
        ({"byMinutes": -5}, "payload.byMinutes"),
        ({"byMinutes": 5_000_000_001}, "payload.byMinutes"),
        ({"byMinutes": 5, "bySeconds": 5}, "payload.bySeconds"),
        ({"bySeconds": 0}, "payload.bySeconds"),
        ({"bySeconds": 300_000_000_001}, "payload.bySeconds"),
        ({"until": "NEXT_MOON"}, "payload.until"),
        ({"until": "TIME_OF_DAY"}, "payload.timeOfDay"),
        ({"until": "TIME_OF_DAY", "timeOfDay": "18:60"}, "payload.timeOfDay"),
        ({"until": "TIME_OF_DAY", "timeOfDay": "6:00"}, "payload.timeOfDay"),
        ({"until": "TIME_OF_DAY", "timeOfDay": "\u0660\u0666:\u0660\u0660"}, "payload.timeOfDay"),
        ({"byMinutes": 5, "timeOfDay": "18:00"}, "payload.timeOfDay"),
        ({"byMinutes": 5, "cause": "x" * 236}, "payload.cause"),
    ],
    ids=str,
)
def test_a_wrong_payload_is_refused_by_its_field(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        parse(payload)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("payload", "target", "task"),
    [
        ({"to": "1372-01-17T06:00+06:00"}, "1372-01-17T00:00:00.000Z", "to 1372-01-17T06:00+06:00"),
        ({"byMinutes": 480}, "1372-01-16T14:00:00.000Z", "by 8 h"),
        ({"bySeconds": 90}, "1372-01-16T06:01:30.000Z", "by 1 min 30 s"),
        ({"byMinutes": 4_000_000_000}, "8977-05-04T00:40:00.000Z", "by 2,777,777 d 18 h"),
        ({"until": "TIME_OF_DAY", "timeOfDay": "18:00"}, "1372-01-16T18:00:00.000Z", "until 18:00"),
        ({"until": "TIME_OF_DAY", "timeOfDay": "06:00"}, "1372-01-17T06:00:00.000Z", "until 06:00"),
        ({"until": "TIME_OF_DAY", "timeOfDay": "05:59"}, "1372-01-17T05:59:00.000Z", "until 05:59"),
        ({"until": "NEXT_DUE"}, DUE.isoformat(), "until something is due"),
        ({"until": "NEXT_EVENT"}, DUE.isoformat(), "until the next event"),
        ({"until": "NEXT_EFFECT"}, DUE.isoformat(), "until the next effect"),
    ],
    ids=str,
)
def test_the_target_is_seen_from_the_clock(payload: dict[str, Any], target: str, task: str) -> None:
    parsed = parse(payload)

    assert target_of(parsed, CLOCK, lambda: GREGORIAN, lambda _until: DUE).isoformat() == target
    assert parsed.task().format("an entity") == f"Advance world time {task}"


@pytest.mark.parametrize(
    ("due", "target"),
    [
        ("1372-01-16T06:02:59.999820Z", "1372-01-16T06:03:00.000Z"),
        ("1372-01-16T06:02:59.999Z", "1372-01-16T06:02:59.999Z"),
        ("1372-01-16T06:02:59.000001Z", "1372-01-16T06:02:59.001Z"),
        ("9999-12-31T23:59:59.999000Z", "9999-12-31T23:59:59.999Z"),
        ("9999-12-31T23:59:59.999001Z", None),
    ],
)
def test_a_target_is_in_whole_milliseconds(due: str, target: str | None) -> None:
    """As the main API's clock shows it; not before what is due."""
    for payload in ({"until": "NEXT_DUE"}, {"until": "NEXT_EFFECT"}, {"to": due}):
        try:
            found = target_of(parse(payload), CLOCK, lambda: GREGORIAN, lambda _until: WorldTime.parse(due)).isoformat()
        except PermanentError:
            found = None
        assert found == target


@pytest.mark.parametrize(
    ("payload", "clock", "error"),
    [
        ({"byMinutes": 5_000_000_000}, CLOCK, PermanentError),
        ({"until": "TIME_OF_DAY", "timeOfDay": "06:00"}, WorldTime.parse("9999-12-31T07:00:00Z"), PermanentError),
        ({"until": "NEXT_DUE"}, CLOCK, Skip),
    ],
    ids=str,
)
def test_there_may_be_no_target(payload: dict[str, Any], clock: WorldTime, error: type[JobError]) -> None:
    """Past the year 9999, or nothing is due."""
    with pytest.raises(error):
        target_of(parse(payload), clock, lambda: GREGORIAN, find_nothing)


@pytest.mark.parametrize(
    ("time_of_day", "clock", "target"),
    [
        ("09:30", "1000-01-03T01:00:00Z", "1000-01-03T01:30:00.000Z"),  # 09:00 of the fifth day
        ("09:00", "1000-01-03T01:00:00Z", "1000-01-03T11:00:00.000Z"),
        ("09:00", "1000-01-03T00:59:59.999999Z", "1000-01-03T01:00:00.000Z"),
        ("05:00", "1000-01-03T01:00:00Z", "1000-01-03T07:00:00.000Z"),
        ("05:00", "9999-12-31T23:00:00Z", None),
    ],
)
def test_a_time_of_day_is_the_campaigns_own(time_of_day: str, clock: str, target: str | None) -> None:
    """Days of ten hours, from the year 1000 on; a time that the clock shows already is the next day's."""
    payload = parse({"until": "TIME_OF_DAY", "timeOfDay": time_of_day})
    found = payload.next_time_of_day(TIDES, WorldTime.parse(clock))

    assert (found and found.isoformat()) == target


@pytest.mark.django_db
def test_a_time_that_no_day_of_the_campaign_has_is_refused() -> None:
    """By its calendar; a job whose calendar was changed afterwards is a dead letter that says so."""
    payload = {"until": "TIME_OF_DAY", "timeOfDay": "18:00"}
    submission = Submission(type="ADVANCE_WORLD_TIME", campaign_id="c-1", payload=payload)
    submit(submission, actor="test")
    calendars.set_own("c-1", TIDES, actor="test", reason="")

    with pytest.raises(InvalidJob, match="hour: must be 0 to 9, not 18") as caught:
        submit(submission, actor="test")
    assert caught.value.field == "payload.timeOfDay"
    with pytest.raises(PermanentError, match="hour: must be 0 to 9, not 18"):
        target_of(parse(payload), CLOCK, lambda: TIDES, find_nothing)


@pytest.mark.django_db
def test_one_cause_is_one_job() -> None:
    """Of one campaign, whenever and however often it is reported; without a cause each submission is its own."""

    def report(campaign_id: str = "c-1", **payload: Any) -> tuple[Job, bool]:
        given = {"byMinutes": 480, **payload}
        return submit(Submission(type="ADVANCE_WORLD_TIME", campaign_id=campaign_id, payload=given), actor="test")

    first, new = report(cause="rest {7}")
    again = [report(cause="rest {7}") for _ in range(5)]
    other, _ = report(cause="rest {7}", campaign_id="c-2")

    assert new
    assert [(job.pk, is_new) for job, is_new in again] == 5 * [(first.pk, False)]
    assert len({first.pk, other.pk, report(cause="rest 8")[0].pk, report()[0].pk, report()[0].pk}) == 5
