"""Lists that the service writes by itself."""

from typing import Any

from django.http import HttpRequest


class ReadOnly:
    """For a ModelAdmin whose rows nobody, not even a superuser, adds, changes or deletes by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No."""
        return False
