"""Failed logins of the last minutes; deleting them unlocks their addresses."""

from typing import TYPE_CHECKING

from axes.models import AccessAttempt
from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from ops.admin.base import AuditedAdmin

if TYPE_CHECKING:
    AttemptAdminBase = ModelAdmin
else:

    class AttemptAdminBase(AuditedAdmin, ModelAdmin):
        """Unfold's, with deletions in the audit trail."""


@admin.register(AccessAttempt)
class AttemptAdmin(AttemptAdminBase):
    """Nobody adds or changes one."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    search_fields = ("username", "ip_address")
    fields = readonly_fields = ("username", "ip_address", "user_agent", "failures_since_start", "attempt_time")
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AccessAttempt | None = None) -> bool:
        return False
