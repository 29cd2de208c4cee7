"""The pages of alert handlers: choose a channel, then fill in its form; a button sends a test alert."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin

from jobs import audit
from monitoring.admin.access import back, may_manage, monitor_runs
from monitoring.admin.delivery import STATUSES, badge
from monitoring.admin.handler_form import PREFIX, channel_named, for_kind
from monitoring.alerting import routing
from monitoring.alerting.channels import CHANNELS
from monitoring.alerting.unreached import find_unreached
from monitoring.models import AlertHandler, Delivery, Severity
from ops.admin.base import actor_of, redirect, render_page
from ops.admin.filtered_list import FilteredAdmin
from ops.admin.guarded_form import GuardedAdmin
from ops.templatetags import ops

if TYPE_CHECKING:
    HandlerAdminBase = admin.ModelAdmin[AlertHandler]
else:
    HandlerAdminBase = ModelAdmin


@admin.register(AlertHandler)
class AlertHandlerAdmin(FilteredAdmin, GuardedAdmin, HandlerAdminBase):
    list_display = ("name", "kind_badge", "enabled", "severity", "last_delivery")
    list_filter = ("enabled",)
    when_empty = gettext_lazy("Until there is one, alerts are shown in the admin and sent to nobody.")
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name",)
    actions = ("send_test",)
    list_before_template = "monitoring/monitor_note.html"
    change_form_outer_before_template = "monitoring/handler_buttons.html"

    @admin.display(description=gettext_lazy("kind"))
    def kind_badge(self, handler: AlertHandler) -> str:
        channel = CHANNELS[handler.kind]
        return badge(str(channel.label), channel.icon, "calm")

    @admin.display(description=gettext_lazy("from severity"))
    def severity(self, handler: AlertHandler) -> str:
        return str(Severity(handler.minimum_severity).label)

    @admin.display(description=gettext_lazy("last delivery"))
    def last_delivery(self, handler: AlertHandler) -> str:
        newest = handler.deliveries.order_by("-id").first()
        if newest is None:
            return "-"
        status = badge(newest.get_status_display(), *STATUSES[Delivery.Status(newest.status)])
        return status + render_to_string("ops/moment.html", ops.moment(newest.created_at))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the list, with a note while no monitor is running."""
        return super().changelist_view(
            request,
            {
                "monitor_runs": monitor_runs(),
                "no_public_url": not settings.PUBLIC_URL,
                "unreached": find_unreached(),
                **(extra_context or {}),
            },
        )

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """Offer the channels, then the form of the chosen one."""
        if not may_manage(request):
            raise PermissionDenied
        channel = channel_named(request.GET.get("kind", ""))
        if channel is None:
            context = {"title": gettext("Add alert handler"), "channels": CHANNELS}
            return render_page(request, "monitoring/handler_kinds.html", context)
        title = {
            "title": gettext("Add alert handler: %(channel)s") % {"channel": channel.label},
            **(extra_context or {}),
        }
        return super().add_view(request, form_url, title)

    def get_form(
        self, request: HttpRequest, obj: AlertHandler | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kind = obj.kind if obj else request.GET.get("kind", "")
        channel = channel_named(kind) or CHANNELS["log"]
        return super().get_form(request, obj, change=change, form=for_kind(channel), **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: AlertHandler | None = None) -> Any:
        channel = channel_named(obj.kind if obj else request.GET.get("kind", "")) or CHANNELS["log"]
        own = [PREFIX + field.name for field in channel.fields]
        fieldsets = [
            (channel.label, {"fields": ["name", *own, "enabled"], "description": f"{capfirst(str(channel.says))}."}),
            (gettext("Which alerts"), {"fields": ["minimum_severity", "alert_kinds", "job_types", "campaigns"]}),
            (gettext("Quiet hours"), {"fields": [("quiet_from", "quiet_until"), "time_zone", "wake_for_critical"]}),
        ]
        return self.guard(request, obj, fieldsets)

    def save_model(self, request: HttpRequest, obj: AlertHandler, form: Any, change: bool) -> None:
        """Save it and record who did; the audit trail names the changed fields without their values."""
        verb = "changed" if change else "added"
        fields = {name.removeprefix(PREFIX): ("", "changed") for name in form.changed_data}
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            link = reverse("admin:monitoring_alerthandler_change", args=[obj.pk])
            audit.record(
                actor=actor_of(request), verb=verb, target=f"alert handler {obj}", link=link, changes=fields or None
            )

    def delete_model(self, request: HttpRequest, obj: AlertHandler) -> None:
        """Delete it and record who did."""
        with transaction.atomic():
            audit.record(actor=actor_of(request), verb="deleted", target=f"alert handler {obj}")
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AlertHandler]) -> None:
        """Delete one by one, so that each is recorded."""
        for handler in queryset:
            self.delete_model(request, handler)

    @admin.action(description=gettext_lazy("Send test alert"), permissions=["change"])
    def send_test(self, request: HttpRequest, handlers: QuerySet[AlertHandler]) -> HttpResponse | None:
        """Queue a test message for each, whatever its filters; the monitor sends it."""
        sent = [routing.send_test(handler) for handler in handlers]
        if not monitor_runs():
            warning = gettext("The test alert waits because no monitor is running. Start manage.py monitor.")
            self.message_user(request, warning, messages.WARNING)
            return back(request)
        names = ", ".join(delivery.handler_name for delivery in sent)
        if len(sent) == 1:
            text = gettext("Test alert queued for %(names)s. This page shows the result.") % {"names": names}
            return redirect(request, reverse("admin:monitoring_delivery_change", args=[sent[0].pk]), text)
        text = gettext("Test alert queued for %(names)s. See Deliveries for the results.") % {"names": names}
        self.message_user(request, text, messages.SUCCESS)
        return back(request)

    def has_view_permission(self, request: HttpRequest, obj: AlertHandler | None = None) -> bool:
        return may_manage(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_manage(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_manage(request)

    def has_change_permission(self, request: HttpRequest, obj: AlertHandler | None = None) -> bool:
        return may_manage(request)

    def has_delete_permission(self, request: HttpRequest, obj: AlertHandler | None = None) -> bool:
        return may_manage(request)
