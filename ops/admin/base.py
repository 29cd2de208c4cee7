"""Shared by several pages: the actor, a permission, a page, a redirect, a reason, read-only and audited admins."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from jobs import actor as actors
from jobs import audit
from ops.admin.payload_form import MomentField
from ops.humanize import naturaltime
from scheduler_project.text import StrOrPromise

LONGEST_REASON: Final = 500
PAST: Final = timedelta(minutes=1)  #: for filling in a form; a time before that is in the past


def actor_of(request: HttpRequest) -> str:
    """The logged-in user, as the audit trail names actors."""
    return actors.user(request.user.get_username())


def render_page(
    request: HttpRequest, template: str, context: dict[str, Any], *, opts: Any = None, status: int = 200
) -> TemplateResponse:
    """A page of the admin with its menu; `opts` belong to the model whose list it stands below."""
    of_model: dict[str, Any] = {}
    if opts is not None:
        of_model["opts"] = opts
        above = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        if request.path != above:
            of_model["above"] = above
    return TemplateResponse(
        request, template, {**admin.site.each_context(request), **of_model, **context}, status=status
    )


def redirect(
    request: HttpRequest, url: str, message: str, level: int = messages.SUCCESS, *, undo: str = ""
) -> HttpResponseRedirect:
    """Redirect to `url` and show `message` there once; with a button that posts to `undo`, if given."""
    messages.add_message(request, level, message, extra_tags=undo)
    return HttpResponseRedirect(url)


def is_own_url(request: HttpRequest, url: str) -> bool:
    """Whether a form may send the browser to `url`: only within this site."""
    return url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=request.is_secure())


def find_way_back(request: HttpRequest, otherwise: str) -> str:
    """The page that a form names in `back`, if it is of this site."""
    wanted = request.POST.get("back", "")
    return wanted if is_own_url(request, wanted) else otherwise


def require(permission: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Require jobs.view_job for the view, and `permission` for a POST."""

    def guard(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, **of_url: Any) -> HttpResponse:
            needed = permission if request.method == "POST" else "jobs.view_job"
            if not request.user.has_perm(needed):
                raise PermissionDenied
            return view(request, **of_url)

        return guarded

    return guard


def reason_field(
    *,
    max_length: int = LONGEST_REASON,
    label: StrOrPromise = "",
    help_text: StrOrPromise = "",
    **attrs: Any,
) -> forms.CharField:
    """An optional reason for the audit trail; `attrs` go to its input element."""
    widget = UnfoldAdminTextInputWidget(attrs={"placeholder": gettext_lazy("For the audit trail"), **attrs})
    return forms.CharField(
        required=False, max_length=max_length, label=label or gettext_lazy("Reason"), widget=widget, help_text=help_text
    )


class ReasonForm(forms.Form):
    """The only field of most confirmations."""

    reason = reason_field()


class ConfirmPast(forms.Form):
    """Mixin for forms with a due time: one in the past is asked about first, for such a job runs at once."""

    is_past_meant = forms.BooleanField(
        required=False, widget=forms.HiddenInput, label=gettext_lazy("Yes, it is in the past: run at once")
    )

    def ask_about_past(self, field: str, due: datetime | None) -> None:
        """Add an error and the question unless `due` is to come, or the past is meant."""
        if due and timezone.now() - due > PAST and not self.cleaned_data.get("is_past_meant"):
            self.add_error(
                field,
                gettext("It is in the past (%(when)s). Correct or confirm it.")
                % {"when": naturaltime(due, timezone.now())},
            )
            self.fields["is_past_meant"].widget = UnfoldBooleanWidget()


class UntilForm(forms.Form):
    """How long a pause or the like lasts, and why; without `until` it lasts until somebody ends it."""

    until = MomentField(required=False)
    reason = reason_field()


class ReadOnly:
    """Mixin for a model that nobody, not even a superuser, adds, changes or deletes by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


_SECRET = ("password", "secret", "token", "key")  #: the values of fields with such names are not recorded


class AuditedAdmin:
    """Mixin that records additions, changes and deletions in the audit trail, in the transaction of each."""

    opts: Any

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(request, "added", obj)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """A form saved without a change is not recorded."""
        changes = getattr(request, "_changes", {})
        if changes or (message and isinstance(message, str)):
            self._record(request, "changed", obj, reason=message if isinstance(message, str) else "", changes=changes)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            self._record(request, "deleted", obj)
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Keep the form's changes for `log_change`, which Django calls later without the form."""
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        request._changes = changes_of(form)  # type: ignore[attr-defined]  # noqa: SLF001 - ours

    def _record(self, request: HttpRequest, verb: str, obj: Any, **more: Any) -> None:
        audit.record(
            actor=actor_of(request),
            verb=verb,
            target=f"{self.opts.verbose_name_raw} {obj}",
            link=self._link(verb, obj),
            **more,
        )

    def _link(self, verb: str, obj: Any) -> str:
        try:
            return (
                ""
                if verb == "deleted"
                else reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])
            )
        except NoReverseMatch:
            return ""


def changes_of(form: Any) -> dict[str, tuple[Any, Any]]:
    """The old and new value of each changed field; secrets are hidden."""
    return {
        name: ("(hidden)", "(hidden)")
        if any(word in name for word in _SECRET)
        else (_plain(form.initial.get(name)), _plain(form.cleaned_data.get(name)))
        for name in form.changed_data
    }


def _plain(value: Any) -> Any:
    """A JSON value that people can read."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        return sorted(str(one) for one in value)
    if value is None or isinstance(value, str | int | float | bool | dict):
        return value
    return str(value) if not isinstance(value, Model) else f"{value}"


def read_key(text: str) -> int | None:
    """A row's number in an address, if it is one that every database can compare."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
