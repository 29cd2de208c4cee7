"""Pages of job types: how each does, and its settings, set with a reason."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import pauses, type_settings
from jobs.broker import keys
from jobs.histogram import COLUMNS
from jobs.models import Job, OperatorAction, OutcomeMinute
from jobs.overrides import Overrides
from jobs.states import State
from ops.reads import job_types as read
from ops.reads.blockers import find_blockers
from tests.support.people import JOBS, member
from tests.support.queries import count_queries
from tests.support.working import submit

pytestmark = pytest.mark.django_db(transaction=True)
TYPE = "EVENT_EXPIRATION"
PAGE = f"{JOBS}types/{TYPE}/"


def attempts(minutes_ago: float, outcome: str, jobs: int, job_type: str = TYPE) -> None:
    OutcomeMinute.objects.create(
        minute=timezone.now() - timedelta(minutes=minutes_ago),
        type=job_type,
        outcome=outcome,
        shard=1,
        jobs=jobs,
        run_ms=jobs * 20,
        run_ms_max=90,
        wait_ms=jobs,
        wait_ms_max=400,
        **{COLUMNS[2]: jobs},
    )


def test_a_type_shows_its_attempts_in_each_period(client: Client, redis: Redis) -> None:
    """Those of other types and of other hours are left out."""
    midnight = timezone.localtime(timezone.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    now = midnight + timedelta(hours=10)
    ago = (timezone.now() - now) / timedelta(minutes=1)
    attempts(ago + 5, "SUCCEEDED", 12)
    attempts(ago + 6, "DEAD", 3)
    attempts(ago + 5, "NOT_BEGUN", 250)
    attempts(ago + 5, "LIMIT", 80)
    attempts(ago + 5, "SUCCEEDED", 99, "SETTLEMENT_GROWTH")
    attempts(ago + 24 * 60 + 30, "SUCCEEDED", 7)
    attempts(ago + 24 * 60 - 30, "SUCCEEDED", 50)  # later than now, yesterday
    attempts(ago + 7 * 24 * 60 + 30, "SKIPPED", 2)
    periods = read.read_periods(TYPE, now)

    assert [period.sums.jobs for period in periods] == [15, 15, 7, 2]
    assert periods[0].sums.outcomes == {"SUCCEEDED": 12, "DEAD": 3}
    assert periods[0].sums.handed_back == 250
    assert periods[0].per_minute == 15 / 60
    assert (periods[1].failed, periods[1].failed_share) == (3, 20)
    assert periods[1].sums.p50_ms is not None
    assert 25 <= periods[1].sums.p50_ms <= 50
    assert sum(read.read_hours(TYPE, now)) == 15


def test_run_times_are_those_of_the_newest_jobs(redis: Redis) -> None:
    """Their percentiles, the slowest, and those that failed most; only jobs of this type that ran."""
    now = timezone.now()
    jobs = submit(20)
    for n, job in enumerate(jobs, start=1):
        ran = {"started_at": now, "finished_at": now + timedelta(seconds=n), "state": State.SUCCEEDED}
        Job.objects.filter(pk=job.pk).update(**ran, failures=n // 10)
    submit(1, type="RECALCULATE_SETTLEMENT_SCHEDULES")
    sample = read.read_sample(TYPE)

    assert sample.run_ms == (10_000, 19_000, 20_000)
    assert [one.run_ms for one in sample.slowest] == [20_000, 19_000, 18_000, 17_000, 16_000]
    assert [one.job.failures for one in sample.most_failed][:2] == [2, 1]
    assert read.read_sample("SETTLEMENT_GROWTH").run_ms is None


def test_settings_are_set_with_a_reason_and_back(client: Client, redis: Redis) -> None:
    """The page says what was set, the default beside it, and who did it and why."""
    ann = member(client, "Administrator", name="ann")
    asked = {"max_attempts": "5", "timeout_s": "30", "concurrency": "2", "reason": "their server is small"}
    ann.post(PAGE, asked)
    page = ann.get(PAGE).content.decode()

    assert type_settings.current() == {TYPE: Overrides(5, None, 30, 2)}
    assert "<b>5</b> <small>default 3</small>" in page
    assert "ann: their server is small" in page
    assert "settings changed" in ann.get(f"{JOBS}types/").content.decode()
    ann.post(PAGE, {"reset": "1", "reason": "a larger one"})
    assert type_settings.current() == {}
    action = OperatorAction.objects.latest("id")
    assert (action.actor, action.reason) == ("user:ann", "a larger one")
    assert ann.get(action.link).context["declared"].name == TYPE
    assert action.changes == {"max_attempts": [5, None], "timeout_s": [30, None], "concurrency": [2, None]}


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"max_attempts": "0"}, "from 1 to 1,000"),
        ({"backoff_ms": "x"}, "Enter a whole number"),
        ({"timeout_s": "99999999999999999999"}, "from 1 to 86,400"),
        ({"concurrency": "0"}, "pause it instead"),
        ({"max_attempts": "2", "reason": ""}, "say why"),
    ],
)
def test_what_cannot_be_is_refused_under_its_field(
    client: Client, redis: Redis, asked: dict[str, str], fault: str
) -> None:
    answer = member(client, "Administrator").post(PAGE, {"reason": "why", **asked}).content.decode()
    faults = answer.split('role="alert">')[1:]

    assert any(fault in text.split("</p>")[0] for text in faults)
    assert type_settings.current() == {}


def test_settings_need_their_permission(client: Client, redis: Redis) -> None:
    """A viewer sees the figures and no form; an unknown type has no page."""
    viewer = member(client, "Viewer")

    assert "Back to defaults" not in viewer.get(PAGE).content.decode()
    assert 'name="max_attempts"' not in viewer.get(PAGE).content.decode()
    assert viewer.post(PAGE, {"max_attempts": "1", "reason": "x"}).status_code == 403
    assert viewer.get(f"{JOBS}types/NO_SUCH/").status_code == 404
    assert 'name="max_attempts"' in member(client, "Operator", name="olga").get(PAGE).content.decode()


def test_pages_lead_to_a_type(client: Client, redis: Redis) -> None:
    """The dashboard, the list of types and a job's page; the type leads to its pause."""
    viewer = member(client, "Viewer")
    (job,) = submit(1)
    pauses.pause("type", TYPE, actor="user:ann")

    assert f"{JOBS}types/" in viewer.get("/admin/").content.decode()
    assert PAGE in viewer.get(f"{JOBS}types/").content.decode()
    assert PAGE in viewer.get(f"{JOBS}{job.pk}/change/").content.decode()
    assert "paused by ann" in viewer.get(PAGE).content.decode()


def test_a_job_that_waits_for_its_types_limit_says_so(redis: Redis) -> None:
    type_settings.set_overrides(TYPE, Overrides(concurrency=1), actor="user:ann", reason="why")
    (job,) = submit(1)
    assert not any("of its type run" in one for one in find_blockers(job, timezone.now()))
    redis.zadd(keys.RUNNING.format(TYPE), {"another": 2**33})

    assert "1 job of its type is running" in " ".join(find_blockers(job, timezone.now()))


def test_a_page_costs_as_many_queries_however_many_jobs(client: Client, redis: Redis) -> None:
    viewer = member(client, "Viewer")
    numbers: list[int] = []
    for _ in range(2):
        now = timezone.now()
        submit(12, campaign_id=f"c-{len(numbers)}")
        Job.objects.update(state=State.SUCCEEDED, started_at=now, finished_at=now, failures=1)
        with count_queries() as queries:
            viewer.get(PAGE)
        numbers.append(len(queries))

    assert numbers[0] == numbers[1]
    assert numbers[0] <= 25
