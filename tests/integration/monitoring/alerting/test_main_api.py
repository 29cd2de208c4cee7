"""The monitor checks the main API, and tells when a verdict changes."""

from collections.abc import Iterable

import pytest
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from jobs import main_api_check
from jobs.main_api.conformance.report import Report
from jobs.models import MainApiCheck
from monitoring.alerting import auto_resolve, main_api, store
from monitoring.alerting.main_api import AGAIN_S, EVERY_S, MainApiWatch
from monitoring.models import Alert, Kind, MonitorState, Severity
from tests.support.alerts import later
from tests.support.conformance import check_sandbox
from tests.support.servers import SandboxApi, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _state(redis: Redis) -> None:
    MonitorState.objects.create()


def read_announcement(points: Iterable[int] | Report) -> tuple[str, str] | None:
    """The severity and text of the alert that a report of these points opens or repeats."""
    main_api_check.store(points if isinstance(points, Report) else check_sandbox(points))
    counts = dict(Alert.objects.values_list("pk", "count"))
    main_api.announce(timezone.now())
    changed = [alert for alert in Alert.objects.all() if counts.get(alert.pk) != alert.count]
    main_api.announce(timezone.now())
    return (Severity(changed[0].severity).word, changed[0].message) if changed else None


def resolve_what_is_over() -> None:
    """As the monitor does in each of its rounds."""
    store.resolve(
        [a for a in Alert.objects.filter(resolved_at=None) if auto_resolve.should_resolve(a, {})], actor="monitor"
    )


def test_a_changed_verdict_raises_one_alert() -> None:
    """Not the first verdict; a point no longer seen keeps its verdict; improvements are information."""
    first = read_announcement(check_sandbox([15], effects=[]))
    seen = read_announcement([15])  # which it could not see
    read_announcement([])
    worse = read_announcement([3])
    hidden = read_announcement(check_sandbox([3], effects=[]))
    better = read_announcement([])

    assert (first, seen, hidden) == (None, None, None)
    assert worse is not None
    assert worse[0] == "warning"
    assert worse[1].startswith("3 World time of campaigns: tolerated: currentWorldTime is '-30565598400000'")
    assert worse[1].endswith("serve Campaign.currentWorldTime as ISO 8601. It was: fits.")
    assert better is not None
    assert better[0] == "info"
    assert better[1].endswith("such as 1001-06-01T12:00:00.000Z. It was: tolerated.")
    assert list(Alert.objects.values_list("kind", "key", "count")) == [(Kind.MAIN_API, "main_api", 3)]


def test_an_alert_about_a_change_resolves_after_a_day() -> None:
    """It is not a lasting condition."""
    read_announcement([])
    read_announcement([3])
    resolve_what_is_over()
    before = Alert.objects.get().status
    Alert.objects.update(last_at=later(-25 * 3600))
    resolve_what_is_over()

    assert (before, Alert.objects.get().status) == ("open", "resolved")


def test_a_main_api_that_cannot_work_has_an_alert_until_it_can() -> None:
    """From the first check on; other findings stay in the text."""
    first = read_announcement([10])
    second = read_announcement([3, 10])
    resolve_what_is_over()
    during = Alert.objects.get().status
    read_announcement([3])
    resolve_what_is_over()

    assert first is not None
    assert first[0] == "critical"
    assert "Its owners must change: allow the service account updateSettlement" in first[1]
    assert second is not None
    assert [line.partition(" ")[0] for line in second[1].splitlines()] == ["10", "3"]
    assert during == "open"
    assert dict(Alert.objects.values_list("key", "resolved_by")) == {main_api.CANNOT_WORK: "monitor", "main_api": ""}


def test_the_monitor_checks_at_its_start_and_every_day(sandbox: SandboxApi) -> None:
    """Whoever has checked meanwhile; its findings are stored and sent."""
    now = [0.0]
    watch = MainApiWatch(clock=lambda: now[0])
    sandbox.control("POST", "dialect", {"points": [8]})

    def checked_at() -> str:
        watch.poll(timezone.now())
        last = MainApiCheck.objects.first()
        return str(last.report["seconds"]) if last else ""

    wait_until(checked_at, what="the first check")
    first = checked_at()
    now[0] = EVERY_S - 1
    same = [checked_at() for _ in range(3)]
    now[0] = EVERY_S
    sandbox.control("POST", "dialect", {"points": []})
    wait_until(lambda: checked_at() != first, what="the second check")

    assert set(same) == {first}
    assert set(Alert.objects.values_list("key", flat=True)) == {main_api.CANNOT_WORK, "main_api"}
    assert MainApiCheck.objects.get().report["checkedBy"] == "monitor"


def test_a_main_api_that_is_away_is_checked_again_soon(sandbox: SandboxApi, settings: Settings) -> None:
    """Its verdicts stay, and no alert opens: the breaker has one."""
    now = [0.0]
    watch = MainApiWatch(clock=lambda: now[0])
    sandbox.control("POST", "faults", {"errorRate": 1})

    def poll() -> bool:
        watch.poll(timezone.now())
        return MainApiCheck.objects.exists()

    wait_until(poll, what="it is away")
    failure = main_api_check.last().failure
    sandbox.control("DELETE", "faults")
    now[0] = AGAIN_S
    wait_until(lambda: poll() and main_api_check.last().report, what="it is checked again")

    assert "HTTP 500" in failure
    assert main_api_check.last().failure == ""
    assert not Alert.objects.exists()
