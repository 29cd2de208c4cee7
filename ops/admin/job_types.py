"""Job types: how each does, and its attempts, backoff, time limit and concurrency, set while all runs."""

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from jobs import pauses, type_settings
from jobs.actor import name_of
from jobs.errors import InvalidSetting
from jobs.models import Job, PauseKind, TypeSettings
from jobs.overrides import Overrides
from jobs.registry import JobType, all_types
from jobs.states import State
from ops.admin import operator_action
from ops.admin.base import actor_of, reason_field, redirect, render_page
from ops.admin.guarded_form import GuardedForm, Stored
from ops.humanize import duration, format_count
from ops.labels import label
from ops.reads import job_types as read
from ops.reads.outcomes import OutcomePeriod
from scheduler_project.links import page
from scheduler_project.snapshot import snapshot

CHANGE: Final = "jobs.change_typesettings"
UNITS: Final = {"max_attempts": "", "backoff_ms": "ms", "timeout_s": "s", "concurrency": ""}


def show_all(request: HttpRequest) -> HttpResponse:
    _check(request)
    now = timezone.now()
    spans = read.find_spans(now)
    today, yesterday = spans["today"], spans["yesterday"]
    with snapshot():
        sums, before, changed = read.sum_by_type(*today), read.sum_by_type(*yesterday), type_settings.current()
    paused = _paused()
    rows = [
        {
            "name": name,
            "label": label(name),
            "today": read.Period(read.name_of("today"), *today, sums.get(name, OutcomePeriod(now))),
            "yesterday": read.Period("", *yesterday, before.get(name, OutcomePeriod(now))),
            "is_slower": read.is_slower(sums.get(name), before.get(name)),
            "is_changed": name in changed,
            "pause": paused.get(name),
        }
        for name in sorted(all_types())
    ]
    return render_page(request, "ops/job_types.html", {"title": gettext("Types"), "rows": rows})


class SettingsForm(GuardedForm):
    """A type's settings; an empty field is back to its default."""

    max_attempts = forms.IntegerField(required=False, label=gettext_lazy("Attempts"))
    backoff_ms = forms.IntegerField(required=False, label=gettext_lazy("Backoff (ms)"))
    timeout_s = forms.IntegerField(required=False, label=gettext_lazy("Time limit (s)"))
    concurrency = forms.IntegerField(required=False, label=gettext_lazy("At a time"))
    reason = reason_field()

    def __init__(self, defaults: Overrides, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        helps = {
            "max_attempts": gettext("Failures after which a job is a dead letter."),
            "backoff_ms": gettext("After the first failure; it doubles with each, up to an hour."),
            "timeout_s": gettext("For one attempt, or one batch of attempts."),
            "concurrency": gettext(
                "Most jobs running at once, on all workers together. Others wait; campaigns take turns."
            ),
        }
        for name, text in helps.items():
            default = getattr(defaults, name)
            placeholder = (
                gettext("no limit") if default is None else gettext("%(default)s by default") % {"default": default}
            )
            self.fields[name].help_text = text
            self.fields[name].widget = UnfoldAdminTextInputWidget(
                attrs={"inputmode": "numeric", "placeholder": placeholder}
            )

    def overrides(self) -> Overrides:
        return Overrides(**{name: self.cleaned_data[name] for name in Overrides._fields})


def show(request: HttpRequest, name: str) -> HttpResponse:
    """A type's page; a POST sets its settings, or all back to their defaults."""
    _check(request)
    declared = all_types().get(name) or all_types().get(unquote(name))  # links of the audit trail are quoted
    if declared is None:
        raise Http404
    name = declared.name
    defaults, last = type_settings.defaults(name), type_settings.last_change(name)
    initial = {field: getattr(last, field) for field in Overrides._fields} if last else {}
    stored = Stored(page("jobs_type", name), initial)
    form = SettingsForm(defaults, request.POST or None, initial=dict(initial), stored=stored)
    if request.method == "POST":
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        if form.is_valid() and (answer := _set(request, name, form)):
            return answer
    pause = _paused().get(name)
    return render_page(
        request,
        "ops/job_type.html",
        _measure(name)
        | {
            "title": label(name),
            "declared": declared,
            "facts": _describe(declared),
            "settings": _list_settings(defaults, last),
            "last": last,
            "form": form,
            "last_by": name_of(last.actor) if last else "",
            "paused_by": name_of(pause.actor) if pause else "",
            "may_change": request.user.has_perm(CHANGE),
            "pause": pause,
            "sampled": read.SAMPLED,
        },
    )


def _measure(name: str) -> dict[str, Any]:
    now = timezone.now()
    with snapshot():
        return {
            "periods": read.read_periods(name, now),
            "hours": read.read_hours(name, now),
            "sample": read.read_sample(name),
            "running": Job.objects.in_state(State.RUNNING).filter(type=name).count(),
        }


def _set(request: HttpRequest, name: str, form: SettingsForm) -> HttpResponse | None:
    """Set the form's values, or none; None with the form's errors if they were refused."""
    wanted = Overrides() if "reset" in request.POST else form.overrides()
    try:
        changed = type_settings.set_overrides(name, wanted, actor=actor_of(request), reason=form.cleaned_data["reason"])
    except InvalidSetting as bad:
        form.add_error(bad.field, str(bad).partition(": ")[2])
        return None
    url = reverse("admin:jobs_type", args=[name])
    if changed:
        undo = operator_action.offer(request, type_settings.undo_of(name))
        text = gettext("Settings of %(type)s saved. All workers use them within two seconds.")
        return redirect(request, url, text % {"type": label(name)}, undo=undo)
    return redirect(request, url, gettext("Nothing changed: these are its settings already."), messages.WARNING)


def _list_settings(defaults: Overrides, last: TypeSettings | None) -> list[dict[str, Any]]:
    """Each setting as it is now, and whether somebody has set it."""
    shown = []
    for name, field in SettingsForm.base_fields.items():
        if name in UNITS:
            own = getattr(last, name) if last else None
            value, default = own or getattr(defaults, name), getattr(defaults, name)
            texts = {"value": _write(name, value), "default": _write(name, default)}
            shown.append({"name": str(field.label).partition(" (")[0], "is_set": bool(own), **texts})
    return shown


def _write(name: str, value: int | None) -> str:
    if value is None:
        return gettext("no limit")
    if UNITS[name]:
        return duration(timedelta(**{"milliseconds" if UNITS[name] == "ms" else "seconds": value}))
    return format_count(value)


def _describe(declared: JobType) -> list[tuple[str, str]]:
    """What the declaration of the type says."""
    idempotent = gettext("yes") if declared.idempotent else gettext("no: a second run may apply it again")
    facts = [(gettext("Priority"), label(declared.priority.name)), (gettext("Idempotent"), idempotent)]
    if declared.batch > 1:
        facts.append(
            (gettext("Batch"), gettext("up to %(count)s jobs of a campaign in one call") % {"count": declared.batch})
        )
    return facts


def _paused() -> dict[str, Any]:
    """The pauses of types, by name."""
    return {pause.name: pause for pause in pauses.active() if pause.kind == PauseKind.TYPE}


def _check(request: HttpRequest) -> None:
    if not request.user.has_perm("jobs.view_job"):
        raise PermissionDenied
