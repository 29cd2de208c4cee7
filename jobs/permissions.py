"""Permissions: `migrate` creates three groups if they are missing; an administrator can change them.

A release that adds a permission grants it to the appropriate groups once. Nobody can grant more than they have: whoever
manages users and groups can only grant their own permissions, and cannot edit a user who has more.
"""

from typing import Any, Final

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet

_SEE: Final = (
    "view_job",
    "view_auditentry",
    "view_operatoraction",
    "view_crontask",
    "view_campaignclock",
    "view_schedulerow",
    "view_pause",
    "view_failuregroup",
)
_ACT: Final = (
    "add_job",
    "retry_job",
    "cancel_job",
    "discard_job",
    "reschedule_job",
    "run_now_job",
    "change_failuregroup",
    "export_jobs",
    "pause_jobs",
    "pause_worldclock",
    "control_breaker",
    "acknowledge_alerts",
    "change_eventquestion",
    "change_typesettings",
)
_GOVERN: Final = (
    "manage_alerts",
    "add_crontask",
    "change_crontask",
    "delete_crontask",
    "change_campaigncalendar",
    "change_worldclock",
    "change_eventpolicy",
)

#: Each group's permissions on jobs; add_job means submitting jobs.
GROUPS: Final = {
    "Viewer": _SEE,
    "Operator": (*_SEE, *_ACT, "change_crontask"),
    "Administrator": (*_SEE, *_ACT, *_GOVERN),
}


def create_groups(app_config: Any) -> None:
    """Create missing groups. Existing ones keep what people granted and get permissions that are new."""
    known = set(Permission.objects.values_list("pk", flat=True))
    for app in (app_config, apps.get_app_config("auth"), apps.get_app_config("axes")):
        create_permissions(app, verbosity=0)  # auth's own receiver would create them only after this one
    for name, codenames in GROUPS.items():
        group, new = Group.objects.get_or_create(name=name)
        ours = Q(content_type__app_label="jobs", codename__in=codenames)
        people = Q(content_type__app_label="auth", content_type__model__in=("user", "group")) | Q(
            content_type__app_label="axes", codename__in=("view_accessattempt", "delete_accessattempt")
        )
        wanted = Permission.objects.filter(ours | people if name == "Administrator" else ours)
        group.permissions.add(*(wanted if new else wanted.exclude(pk__in=known)))


def permissions_of(user: User) -> QuerySet[Permission]:
    """All permissions of the user, including through groups, even if inactive: activating restores them."""
    if user.is_superuser:
        return Permission.objects.all()
    return Permission.objects.filter(Q(user=user) | Q(group__user=user)).distinct()


def grantable_groups(editor: User) -> QuerySet[Group]:
    """The groups without any permission that the editor lacks."""
    missing = Permission.objects.exclude(pk__in=permissions_of(editor).values("pk"))
    return Group.objects.exclude(permissions__in=missing)


def may_edit(editor: User, user: User) -> bool:
    """Whether the editor may change or delete the user, who must not have more permissions."""
    if editor.is_superuser:
        return True
    missing = permissions_of(user).exclude(pk__in=permissions_of(editor).values("pk"))
    return not user.is_superuser and not missing.exists()


def may_edit_group(editor: User, group: Group) -> bool:
    """Whether the editor has all permissions of the group."""
    return editor.is_superuser or grantable_groups(editor).filter(pk=group.pk).exists()
