"""Users and groups, with the same look as everything else; nobody gives there what he does not have."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from jobs import permissions
from ops.admin.base import Recorded

if TYPE_CHECKING:  # unfold's mixins and Django's admins are of different opinions about types
    UserAdminBase = DjangoUserAdmin[User]
    GroupAdminBase = DjangoGroupAdmin
else:

    class UserAdminBase(Recorded, DjangoUserAdmin, ModelAdmin):
        """Django's, drawn by unfold."""

    class GroupAdminBase(Recorded, DjangoGroupAdmin, ModelAdmin):
        """Django's, drawn by unfold."""


admin.site.unregister(User)
admin.site.unregister(Group)


def _offer(field: Any, name: str, request: HttpRequest | None) -> Any:
    """A form's field with nothing to choose but what the editor may give; what else is sent is no choice."""
    if field is not None and name == "groups":
        field.queryset = field.queryset.filter(pk__in=permissions.grantable_groups(_editor(request)).values("pk"))
    elif field is not None and name in ("permissions", "user_permissions"):
        field.queryset = field.queryset.filter(pk__in=permissions.permissions_of(_editor(request)).values("pk"))
    return field


def _editor(request: HttpRequest | None) -> User:
    if request is None or not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


@admin.register(User)
class UserAdmin(UserAdminBase):
    """Who may log in, and their groups."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_facets = admin.ShowFacets.NEVER

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Their password too: nobody's who has more than the editor."""
        return super().has_change_permission(request, obj) and (
            obj is None or permissions.may_edit(_editor(request), obj)
        )

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """As to change."""
        return super().has_delete_permission(request, obj) and (
            obj is None or permissions.may_edit(_editor(request), obj)
        )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Who is a superuser, only superusers decide."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if _editor(request).is_superuser else (*fields, "is_superuser")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Groups and permissions that the editor may give."""
        return _offer(super().formfield_for_manytomany(db_field, request, **kwargs), db_field.name, request)


@admin.register(Group)
class GroupAdmin(GroupAdminBase):
    """What each group may do."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Not of groups that give more than the editor has."""
        may = super().has_change_permission(request, obj)
        return may and (obj is None or permissions.may_edit_group(_editor(request), obj))

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """As to change."""
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or permissions.may_edit_group(_editor(request), obj))

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        """Permissions that the editor has."""
        return _offer(super().formfield_for_manytomany(db_field, request, **kwargs), db_field.name, request)
