"""Checks the main API when the monitor starts and once a day, and alerts when a verdict changes.

Whoever runs a check stores its report; the active monitor compares it with the verdicts that it has announced, so that
no change goes unnoticed. A point that was not seen keeps its verdict, and so do all while the main API does not answer:
that has alerts of its own.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import datetime
from typing import Final

import structlog
from django.db import transaction
from django.utils.translation import gettext

from jobs import main_api_check
from jobs.main_api.conformance.report import WORDS, CheckOutcome, PointVerdict, Report, Verdict
from monitoring.alerting.store import MONITOR, Finding, record_each
from monitoring.models import Kind, MonitorState, Severity
from scheduler_project.text import readable

log = structlog.get_logger(__name__)
EVERY_S: Final = 24 * 3600.0
AGAIN_S: Final = 60.0  #: after a check that did not get through
CANNOT_WORK: Final = f"{Kind.MAIN_API.value}:cannot work"  #: the key of the alert that lasts until the main API works
_OTHERS: Final = "operations"  #: stands beside the points for operations and reads


class MainApiWatch:
    """The active monitor's part: `poll` starts a check in a thread of its own, and announces the last report."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_at = float("-inf")
        self._running: Future[Report] | None = None

    def poll(self, now: datetime) -> None:
        """Store what a check has found, start the next when it is due, and open alerts."""
        if self._running and self._running.done():
            self._finish(self._running)
            self._running = None
        elif not self._running and self._clock() >= self._due_at:
            self._due_at = self._clock() + EVERY_S
            self._running = _start(main_api_check.effect_ids())
        announce(now)

    def _finish(self, running: "Future[Report]") -> None:
        error = running.exception()
        if error:
            log.error("monitor.main_api_check_failed", error=repr(readable(error)), retry_in_s=AGAIN_S)
        else:
            main_api_check.store(running.result())
        if error or running.result().outcome is CheckOutcome.UNREACHABLE:
            self._due_at = self._clock() + AGAIN_S


@transaction.atomic
def announce(now: datetime) -> None:
    """Open an alert if verdicts have changed since the last announcement."""
    report = main_api_check.last().report
    if report is None:
        return
    state = MonitorState.objects.get()
    known, seen = state.verdicts or {}, verdicts_of(report)
    if known | seen == known:
        return
    finding = finding_of(report, known if state.verdicts is not None else None)
    if finding:
        record_each([finding], at=now)
    MonitorState.objects.filter(pk=state.pk).update(verdicts=known | seen)


def verdicts_of(report: Report) -> dict[str, str]:
    """The verdict of each point that was seen, and of what is beside the points."""
    seen = {str(point.point): point.verdict.value for point in report.points if point.verdict is not Verdict.NOT_SEEN}
    return seen | {_OTHERS: (Verdict.FAULT if _other_faults(report) else Verdict.FITS).value}


def finding_of(report: Report, known: Mapping[str, str] | None) -> Finding | None:
    """The alert about what has changed; None if nothing has, and for a first report of a main API that works."""
    unfit = report.outcome is CheckOutcome.CANNOT_WORK
    was = known or {}
    changed = [point for point in report.points if _has_changed(point, was)]
    others = verdicts_of(report)[_OTHERS] != was.get(_OTHERS, Verdict.FITS)
    if not (changed or others) or (known is None and not unfit):
        return None
    told = [*report.faulty, *(point for point in changed if point.verdict is not Verdict.FAULT)]
    lines = [*_other_faults(report), *(_sentence(point, was) for point in told)]
    worse = any(point.verdict is not Verdict.FITS for point in changed)
    return Finding(
        kind=Kind.MAIN_API,
        key=CANNOT_WORK if unfit else Kind.MAIN_API.value,
        severity=Severity.CRITICAL if unfit else Severity.WARNING if worse else Severity.INFO,
        title=gettext("The scheduler cannot work with the main API")
        if unfit
        else gettext("The main API behaves differently"),
        message="\n".join(lines) or gettext("All operations match the schema, and everything can be read."),
        details={"points": [point.point for point in told], "checked at": report.checked_at},
    )


def works_again() -> bool:
    """Whether the last report says that the scheduler can work with the main API."""
    report = main_api_check.last().report
    return report is not None and report.outcome in (CheckOutcome.FITS, CheckOutcome.TOLERATED)


def _has_changed(point: PointVerdict, known: Mapping[str, str]) -> bool:
    """Whether a point was seen otherwise than before. What was never seen has not changed, unless it is a fault."""
    if point.verdict is Verdict.NOT_SEEN:
        return False
    was = known.get(str(point.point))
    return point.verdict is Verdict.FAULT if was is None else was != point.verdict.value


def _sentence(point: PointVerdict, known: Mapping[str, str]) -> str:
    was = known.get(str(point.point))
    says = f"{point.point} {point.what}: {point.as_sentence()}"
    if not was or was == point.verdict.value:
        return says
    before = gettext("It was: %(verdict)s.") % {"verdict": WORDS[Verdict(was)]}
    return f"{says} {before}"


def _other_faults(report: Report) -> list[str]:
    """What is wrong beside the points, in sentences."""
    text = gettext("%(operation)s: does not match the schema: %(fault)s.")
    invalid = [text % {"operation": name, "fault": fault} for name, fault in report.invalid_operations.items()]
    return [*([f"{report.reason}."] if report.reason else []), *invalid, *(f"{fault}." for fault in report.faults)]


def _start(effects: list[str]) -> "Future[Report]":
    """Check in a daemon thread, which keeps no process from exiting."""
    answer: Future[Report] = Future()

    def run() -> None:
        try:
            answer.set_result(main_api_check.run(actor=MONITOR, effects=effects))
        except Exception as error:  # noqa: BLE001 - raised again in the monitor's thread
            answer.set_exception(error)

    threading.Thread(target=run, name="main API check", daemon=True).start()
    return answer
