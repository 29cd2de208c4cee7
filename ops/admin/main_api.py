"""How the main API keeps its contract: the last check, with a button that runs one."""

from datetime import datetime
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from jobs import actor as actors
from jobs import main_api_check
from jobs.main_api.conformance.report import CheckOutcome, Report, Verdict
from ops.admin.base import actor_of, redirect, render_page, require

WITHIN_S: Final = 20.0  #: how long somebody waits for the page at most

#: Words, icon and tone, because colour alone must not carry the meaning.
OUTCOMES: Final = {
    CheckOutcome.FITS: (gettext_noop("Fits"), "check_circle", "good"),
    CheckOutcome.TOLERATED: (gettext_noop("Works, with differences"), "check_circle", "good"),
    CheckOutcome.CANNOT_WORK: (gettext_noop("Cannot work"), "error", "bad"),
    CheckOutcome.UNREACHABLE: (gettext_noop("Cannot be reached"), "cloud_off", "bad"),
}
VERDICTS: Final = {
    Verdict.FITS: (gettext_noop("Fits"), "check_circle", "good"),
    Verdict.TOLERATED: (gettext_noop("Tolerated"), "rule", "busy"),
    Verdict.FAULT: (gettext_noop("The API's fault"), "error", "bad"),
    Verdict.NOT_SEEN: (gettext_noop("Not seen"), "visibility_off", "calm"),
}
_PROGRAMS: Final = {"monitor": gettext_noop("the monitor"), actors.COMMAND: "manage.py check_main_api"}
_SAID: Final = {
    CheckOutcome.FITS: gettext_noop("The main API was checked and fits."),
    CheckOutcome.TOLERATED: gettext_noop(
        "The main API was checked. It differs from its contract, and the scheduler works with it."
    ),
    CheckOutcome.CANNOT_WORK: gettext_noop("The main API was checked. The scheduler cannot work with it."),
}


@require("jobs.pause_jobs")
def overview(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        report = main_api_check.run_for_operator(actor=actor_of(request), within_s=WITHIN_S)
        if report.outcome is CheckOutcome.UNREACHABLE:
            text = gettext("The main API could not be checked: %(reason)s.") % {"reason": report.reason}
        else:
            text = gettext(_SAID[report.outcome])
        level = messages.WARNING if report.exit_code else messages.SUCCESS
        return redirect(request, reverse("admin:jobs_main_api"), text, level)
    last = main_api_check.last()
    context = {
        "title": gettext("Main API"),
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
        "checked_by": gettext(_PROGRAMS[by]) if by in _PROGRAMS else actors.name_of(by),
        "outcome": _translate(OUTCOMES[report.outcome]),
        "points": [(point, *_translate(VERDICTS[point.verdict])) for point in report.points],
    }


def _translate(look: tuple[str, str, str]) -> tuple[str, str, str]:
    word, icon, tone = look
    return gettext(word), icon, tone
