"""Users and groups, with the same look as everything else."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from jobs.admin.recorded import Recorded

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


@admin.register(User)
class UserAdmin(UserAdminBase):
    """Who may log in, and their groups."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_facets = admin.ShowFacets.NEVER


@admin.register(Group)
class GroupAdmin(GroupAdminBase):
    """What each group may do."""
