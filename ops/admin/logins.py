"""Failed logins of the last minutes; deleting them unlocks their addresses."""

from copy import copy
from typing import TYPE_CHECKING, Any, Final

from axes.models import AccessAttempt
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from ops.admin.base import AuditedAdmin

if TYPE_CHECKING:
    AttemptAdminBase = ModelAdmin
else:

    class AttemptAdminBase(AuditedAdmin, ModelAdmin):
        """Unfold's, with deletions in the audit trail."""


_NAMED: Final = copy(AccessAttempt._meta)  #: the model's own would be a migration of axes
_NAMED.verbose_name, _NAMED.verbose_name_plural = gettext_lazy("failed login"), gettext_lazy("failed logins")


class AttemptList(ChangeList):
    """Named as in the menu."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.opts = _NAMED


@admin.register(AccessAttempt)
class AttemptAdmin(AttemptAdminBase):
    """Nobody adds or changes one."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    search_fields = ("username", "ip_address")
    fields = readonly_fields = ("username", "ip_address", "user_agent", "failures_since_start", "attempt_time")
    show_facets = admin.ShowFacets.NEVER
    when_empty = gettext_lazy("Too many from one address lock it for a while; to unlock it, delete them here.")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return AttemptList

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AccessAttempt | None = None) -> bool:
        return False
