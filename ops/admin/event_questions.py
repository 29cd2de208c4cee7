"""Questions about events: open ones with their buttons, and the latest answers; requests of unknown outcome."""

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.translation import gettext
from unfold.admin import ModelAdmin

from jobs.errors import StateConflict
from jobs.models import EventQuestion
from jobs.triggers import questions, settling
from ops.admin.base import ReadOnly, ReasonForm, actor_of, is_own_url, redirect, render_page, require
from ops.menu import add_badge
from ops.reads.event_questions import read_questions
from scheduler_project.text import job_id

PERMISSION: Final = "jobs.change_eventquestion"
PAGE: Final = "admin:jobs_eventquestion_changelist"
MOST_COUNTED: Final = 100  #: the badge stops counting here

if TYPE_CHECKING:
    EventQuestionAdminBase = admin.ModelAdmin[EventQuestion]
else:
    EventQuestionAdminBase = ModelAdmin


@admin.register(EventQuestion)
class EventQuestionAdmin(ReadOnly, EventQuestionAdminBase):
    """Its own page in place of Django's lists and forms."""

    def get_urls(self) -> Any:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(overview), name="jobs_eventquestion_changelist"),
            path("answer/", wrap(answer), name="jobs_eventquestion_answer"),
            path("settle/", wrap(settle), name="jobs_eventquestion_settle"),
        ]


def open_badge(request: HttpRequest) -> str:
    """Return the number of open questions; empty if there are none."""
    number = questions.count_open(MOST_COUNTED)
    return f"{MOST_COUNTED - 1}+" if number == MOST_COUNTED else str(number or "")


add_badge(PAGE, open_badge, "jobs.view_job")


@require(PERMISSION)
def overview(request: HttpRequest) -> HttpResponse:
    context = {
        "title": gettext("Questions about events"),
        **read_questions(),
        "allowed": request.user.has_perm(PERMISSION),
    }
    return render_page(request, "ops/control/event_questions.html", context)


@require(PERMISSION)
def answer(request: HttpRequest) -> HttpResponse:
    """A POST with the job's ID under yes or no answers its question; then back to the page that asked."""
    yes, no, back = request.POST.get("yes", ""), request.POST.get("no", ""), _back(request)
    if request.method != "POST":
        return redirect(request, back, gettext("Choose an answer there."), messages.INFO)
    try:
        found = questions.answer(_id(yes or no), yes=bool(yes), actor=actor_of(request), reason=_reason(request))
    except StateConflict as conflict:
        return redirect(request, back, gettext("Not answered: %(reason)s.") % {"reason": conflict}, messages.WARNING)
    if yes:
        text = gettext("Answered: event %(event)s is triggered.")
    else:
        text = gettext("Answered: event %(event)s expires without its effects.")
    return redirect(request, back, text % {"event": found.event_name})


@require("jobs.retry_job")
def settle(request: HttpRequest) -> HttpResponse:
    """A POST with the ID of a dead letter says that its request of unknown outcome was carried out."""
    back = _back(request)
    if request.method != "POST":
        return redirect(request, back, gettext("Choose a job first."), messages.INFO)
    try:
        settling.settle(_id(request.POST.get("job", "")), actor=actor_of(request), reason=_reason(request))
    except StateConflict as conflict:
        return redirect(
            request, back, gettext("Nothing was changed: %(reason)s.") % {"reason": conflict}, messages.WARNING
        )
    return redirect(request, back, gettext("Counted as executed. The job continues with what is left."))


def _id(written: str) -> UUID:
    found = job_id(written)
    if found is None:
        raise BadRequest(gettext("No job has this ID."))
    return found


def _back(request: HttpRequest) -> str:
    """The page that asked, if it is ours."""
    back = request.POST.get("back", "")
    return back if is_own_url(request, back) else reverse(PAGE)


def _reason(request: HttpRequest) -> str:
    form = ReasonForm(request.POST)
    return form.cleaned_data["reason"] if form.is_valid() else ""
