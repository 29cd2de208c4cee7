"""Who may do what: three groups, made by `migrate` where they are missing; an administrator may change them.

A release that brings a permission gives it to the groups that are to have it, once. Nobody gives what he does not have:
whoever manages users and groups gives permissions and groups out of his own, and edits nobody who has more.
"""

from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q, QuerySet

if TYPE_CHECKING:
    from django.contrib.auth.models import Group, Permission, User

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
)
_GOVERN: Final = (
    "pause_jobs",
    "control_breaker",
    "manage_alerts",
    "add_crontask",
    "change_crontask",
    "delete_crontask",
)

#: Each group with its permissions on jobs; add_job is to submit, change_crontask to change cron tasks.
GROUPS: Final = {
    "Viewer": _SEE,
    "Operator": (*_SEE, *_ACT, "pause_jobs", "change_crontask"),
    "Administrator": (*_SEE, *_ACT, *_GOVERN),
}


def create_groups(app_config: Any) -> None:
    """Make the groups that are missing; those that are there keep what people gave them, and get new permissions."""
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    known = set(Permission.objects.values_list("pk", flat=True))
    for app in (app_config, apps.get_app_config("auth")):
        create_permissions(app, verbosity=0)  # otherwise made only after this, by auth's own receiver
    for name, codenames in GROUPS.items():
        group, new = Group.objects.get_or_create(name=name)
        ours = Q(content_type__app_label="jobs", codename__in=codenames)
        people = Q(content_type__app_label="auth", content_type__model__in=("user", "group"))
        wanted = Permission.objects.filter(ours | people if name == "Administrator" else ours)
        group.permissions.add(*(wanted if new else wanted.exclude(pk__in=known)))


def permissions_of(user: "User") -> "QuerySet[Permission]":
    """What the user has, by groups too; an inactive one has it again as soon as somebody activates him."""
    from django.contrib.auth.models import Permission

    if user.is_superuser:
        return Permission.objects.all()
    return Permission.objects.filter(Q(user=user) | Q(group__user=user)).distinct()


def grantable_groups(editor: "User") -> "QuerySet[Group]":
    """The groups that hold nothing which the editor does not have."""
    from django.contrib.auth.models import Group, Permission

    missing = Permission.objects.exclude(pk__in=permissions_of(editor).values("pk"))
    return Group.objects.exclude(permissions__in=missing)


def may_edit(editor: "User", user: "User") -> bool:
    """Whether the editor may change, delete or set the password of a user: only a superuser does so to a superuser."""
    if editor.is_superuser:
        return True
    missing = permissions_of(user).exclude(pk__in=permissions_of(editor).values("pk"))
    return not user.is_superuser and not missing.exists()


def may_edit_group(editor: "User", group: "Group") -> bool:
    """Whether the editor has all that the group gives."""
    return editor.is_superuser or grantable_groups(editor).filter(pk=group.pk).exists()
