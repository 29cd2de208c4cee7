"""Users and groups. Nobody can grant a permission that they do not have."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from jobs import permissions
from ops.admin.base import AuditedAdmin
from ops.admin.filtered_list import FilteredAdmin
from ops.admin.guarded_form import GuardedAdmin, GuardedModelForm
from ops.admin.payload_form import SplitMomentField

if TYPE_CHECKING:  # the types of unfold's mixins and Django's admins conflict
    UserAdminBase = DjangoUserAdmin[User]
    GroupAdminBase = DjangoGroupAdmin
else:

    class UserAdminBase(FilteredAdmin, AuditedAdmin, GuardedAdmin, DjangoUserAdmin, ModelAdmin):
        """Django's, rendered by unfold."""

    class GroupAdminBase(AuditedAdmin, GuardedAdmin, DjangoGroupAdmin, ModelAdmin):
        """Django's, rendered by unfold."""


admin.site.unregister(User)
admin.site.unregister(Group)


def _limit_choices(field: Any, name: str, request: HttpRequest | None) -> Any:
    """Limit a field's choices to what the editor may grant; anything else is refused as an invalid choice."""
    if field is not None and name == "groups":
        field.queryset = field.queryset.filter(pk__in=permissions.grantable_groups(_get_editor(request)).values("pk"))
    elif field is not None and name in ("permissions", "user_permissions"):
        field.queryset = field.queryset.filter(pk__in=permissions.permissions_of(_get_editor(request)).values("pk"))
    return field


def _get_editor(request: HttpRequest | None) -> User:
    if request is None or not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


class UserForm(GuardedModelForm, UserChangeForm):
    """Django's."""


class GroupForm(GuardedModelForm):
    """Django's."""


@admin.register(User)
class UserAdmin(UserAdminBase):
    form = UserForm
    formfield_overrides: ClassVar = {
        models.DateTimeField: {"form_class": SplitMomentField, "widget": UnfoldAdminSplitDateTimeWidget}
    }
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_facets = admin.ShowFacets.NEVER

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Not users with more permissions than the editor; this protects their passwords too."""
        return super().has_change_permission(request, obj) and (
            obj is None or permissions.may_edit(_get_editor(request), obj)
        )

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (
            obj is None or permissions.may_edit(_get_editor(request), obj)
        )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Only superusers can make superusers; and nobody sets the last login, which a form would set back."""
        fields = (*super().get_readonly_fields(request, obj), "last_login")
        return fields if _get_editor(request).is_superuser else (*fields, "is_superuser")

    def response_add(self, request: HttpRequest, obj: User, post_url_continue: str | None = None) -> HttpResponse:
        """Django's form asks for no more than a name and a password, with which nobody gets in here."""
        if not obj.is_staff:
            text = gettext("%(user)s cannot log in yet: turn on “Staff status”, and choose a group.")
            self.message_user(request, text % {"user": obj}, messages.WARNING)
        return super().response_add(request, obj, post_url_continue)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return _limit_choices(super().formfield_for_manytomany(db_field, request, **kwargs), db_field.name, request)


@admin.register(Group)
class GroupAdmin(GroupAdminBase):
    form = GroupForm

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Not groups with more permissions than the editor."""
        may = super().has_change_permission(request, obj)
        return may and (obj is None or permissions.may_edit_group(_get_editor(request), obj))

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or permissions.may_edit_group(_get_editor(request), obj))

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        return _limit_choices(super().formfield_for_manytomany(db_field, request, **kwargs), db_field.name, request)
