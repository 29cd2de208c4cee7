"""The delivery log: each message to each handler, with its result."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy, ngettext
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter

from monitoring.admin.access import MonitorWrites, back, may_manage
from monitoring.admin.alert import badge
from monitoring.alerting.channels import CHANNELS
from monitoring.alerting.delivery import redeliver
from monitoring.models import Delivery
from ops.admin.base import actor_of
from ops.admin.changelist import LimitedPaginator
from ops.admin.filtered_list import FilteredAdmin
from ops.humanize import abridge
from ops.templatetags import ops

if TYPE_CHECKING:
    DeliveryAdminBase = admin.ModelAdmin[Delivery]
else:
    DeliveryAdminBase = ModelAdmin

STATUSES: Final = {
    Delivery.Status.PENDING: ("schedule_send", "busy"),
    Delivery.Status.SENT: ("check_circle", "good"),
    Delivery.Status.FAILED: ("error", "bad"),
}


@admin.register(Delivery)
class DeliveryAdmin(FilteredAdmin, MonitorWrites, DeliveryAdminBase):
    """A read-only list; failed deliveries can be sent again."""

    list_display = (
        "when",
        "handler_name",
        "channel",
        "action_word",
        "alert",
        "status_badge",
        "http_status",
        "attempts",
        "answer_line",
    )
    list_display_links = ("when",)
    list_filter = (("status", ChoicesDropdownFilter), ("handler", RelatedDropdownFilter))
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("handler_name", "answer")
    sortable_by = ()
    show_full_result_count = False
    list_select_related = ("alert",)
    paginator = LimitedPaginator
    actions = ("deliver_again",)
    when_empty = gettext_lazy(
        "Messages about alerts are listed here, each with its result, once there is an alert handler."
    )
    list_fullwidth = True
    change_form_template = "monitoring/delivery.html"
    change_form_outer_before_template = "monitoring/delivery_buttons.html"
    fields = (
        "when",
        "receiver",
        "channel",
        "action_word",
        "alert",
        "status_badge",
        "http_status",
        "answer",
        "attempts",
        "next_attempt",
        "sent",
        "message",
    )

    @admin.display(description=gettext_lazy("when"))
    def when(self, delivery: Delivery) -> str:
        return _show(delivery.created_at)

    @admin.display(description=gettext_lazy("handler"))
    def receiver(self, delivery: Delivery) -> str:
        """With the way to its settings, which are what a failed delivery needs."""
        if delivery.handler_id is None:
            return delivery.handler_name
        page = reverse("admin:monitoring_alerthandler_change", args=[delivery.handler_id])
        return format_html('<a href="{}">{}</a>', page, delivery.handler_name)

    @admin.display(description=gettext_lazy("kind"))
    def channel(self, delivery: Delivery) -> str:
        known = CHANNELS.get(delivery.handler_kind)
        return str(known.label) if known else delivery.handler_kind

    @admin.display(description=gettext_lazy("next attempt"))
    def next_attempt(self, delivery: Delivery) -> str:
        return _show(delivery.next_at if delivery.status == Delivery.Status.PENDING else None)

    @admin.display(description=gettext_lazy("sent at"))
    def sent(self, delivery: Delivery) -> str:
        return _show(delivery.sent_at)

    def get_fields(self, request: HttpRequest, obj: Delivery | None = None) -> Any:
        """Only who may see the handler gets the link."""
        return ["handler_name" if name == "receiver" and not may_manage(request) else name for name in self.fields]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().change_view(
            request, object_id, form_url, {"may_manage": may_manage(request), **(extra_context or {})}
        )

    @admin.display(description=gettext_lazy("answer"))
    def answer_line(self, delivery: Delivery) -> str:
        return abridge(delivery.answer, 50)

    @admin.display(description=gettext_lazy("what"))
    def action_word(self, delivery: Delivery) -> str:
        words = {"trigger": gettext("alert"), "resolve": gettext("resolved"), "test": gettext("test")}
        return words.get(delivery.action, delivery.action)

    @admin.display(description=gettext_lazy("status"))
    def status_badge(self, delivery: Delivery) -> str:
        return badge(delivery.get_status_display(), *STATUSES[Delivery.Status(delivery.status)])

    @admin.action(description=gettext_lazy("Send again"), permissions=["manage"])
    def deliver_again(self, request: HttpRequest, deliveries: QuerySet[Delivery]) -> HttpResponse | None:
        selected = list(deliveries)
        done = sum(redeliver(delivery, actor=actor_of(request)) for delivery in selected)
        text = ngettext("%(count)s will be sent again.", "%(count)s will be sent again.", done) % {"count": done}
        if skipped := len(selected) - done:
            rest = ngettext("%(count)s skipped (not failed).", "%(count)s skipped (not failed).", skipped)
            self.message_user(request, f"{text} {rest % {'count': skipped}}", messages.WARNING)
        else:
            self.message_user(request, text, messages.SUCCESS)
        return back(request)


def _show(at: datetime | None) -> str:
    return render_to_string("ops/moment.html", ops.moment(at)) if at else "-"
