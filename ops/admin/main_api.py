"""How the main API keeps its contract: the last check, with a button that runs one."""

from datetime import datetime
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from jobs import actor as actors
from jobs import main_api_check
from jobs.main_api.conformance.report import Outcome, Report, Verdict
from ops.admin.base import actor_of, redirect, render_page, require

WITHIN_S: Final = 20.0  #: how long somebody waits for the page at most

#: Words, icon and tone, because colour alone must not carry the meaning.
OUTCOMES: Final = {
    Outcome.FITS: ("Fits", "check_circle", "good"),
    Outcome.TOLERATED: ("Works, with differences", "check_circle", "good"),
    Outcome.CANNOT_WORK: ("Cannot work", "error", "bad"),
    Outcome.UNREACHABLE: ("Cannot be reached", "cloud_off", "bad"),
}
VERDICTS: Final = {
    Verdict.FITS: ("Fits", "check_circle", "good"),
    Verdict.TOLERATED: ("Tolerated", "rule", "busy"),
    Verdict.FAULT: ("The API's fault", "error", "bad"),
    Verdict.NOT_SEEN: ("Not seen", "visibility_off", "calm"),
}
_PROGRAMS: Final = {"monitor": "the monitor", actors.COMMAND: "manage.py check_main_api"}
_SAID: Final = {
    Outcome.FITS: "The main API was checked and fits.",
    Outcome.TOLERATED: "The main API was checked. It differs from its contract, and the scheduler works with it.",
    Outcome.CANNOT_WORK: "The main API was checked. The scheduler cannot work with it.",
    Outcome.UNREACHABLE: "The main API could not be checked",
}


@require("jobs.pause_jobs")
def overview(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        report = main_api_check.run_for_operator(actor=actor_of(request), within_s=WITHIN_S)
        unreached = report.outcome is Outcome.UNREACHABLE
        text = f"{_SAID[report.outcome]}: {report.reason}." if unreached else _SAID[report.outcome]
        level = messages.WARNING if report.exit_code else messages.SUCCESS
        return redirect(request, reverse("admin:jobs_main_api"), text, level)
    last = main_api_check.last()
    context = {
        "title": "Main API",
        "last": last,
        "allowed": request.user.has_perm("jobs.pause_jobs"),
        **(_describe(last.report) if last.report else {}),
    }
    return render_page(request, "ops/control/main_api.html", context)


def _describe(report: Report) -> dict[str, Any]:
    by = report.checked_by
    return {
        "report": report,
        "checked_at": datetime.fromisoformat(report.checked_at),
        "checked_by": _PROGRAMS.get(by) or actors.name_of(by),
        "outcome": OUTCOMES[report.outcome],
        "points": [(point, *VERDICTS[point.verdict]) for point in report.points],
    }
