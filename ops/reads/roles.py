"""Who may do what: each verb with the groups and people that have it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q
from django.utils.translation import gettext, gettext_noop

NAMED: Final = 10  #: people named for one verb
#: What each allows in words, and its name.
PERMISSIONS: Final = (
    (gettext_noop("Look at jobs, alerts and processes"), "jobs.view_job"),
    (gettext_noop("Submit jobs"), "jobs.add_job"),
    (gettext_noop("Retry jobs"), "jobs.retry_job"),
    (gettext_noop("Cancel jobs"), "jobs.cancel_job"),
    (gettext_noop("Discard dead letters"), "jobs.discard_job"),
    (gettext_noop("Reschedule jobs"), "jobs.reschedule_job"),
    (gettext_noop("Run jobs now"), "jobs.run_now_job"),
    (gettext_noop("Export jobs"), "jobs.export_jobs"),
    (gettext_noop("Acknowledge failures"), "jobs.change_failuregroup"),
    (gettext_noop("Acknowledge and resolve alerts"), "jobs.acknowledge_alerts"),
    (gettext_noop("Pause and resume"), "jobs.pause_jobs"),
    (gettext_noop("Force the circuit breaker, set the main API's limits"), "jobs.control_breaker"),
    (gettext_noop("Set job types' attempts, time limits and concurrency"), "jobs.change_typesettings"),
    (gettext_noop("Pause and resume world clocks"), "jobs.pause_worldclock"),
    (gettext_noop("Change cron tasks"), "jobs.change_crontask"),
    (gettext_noop("Add and delete cron tasks"), "jobs.add_crontask"),
    (gettext_noop("Set calendars"), "jobs.change_campaigncalendar"),
    (gettext_noop("Set, start and stop world clocks"), "jobs.change_worldclock"),
    (gettext_noop("Answer questions about events"), "jobs.change_eventquestion"),
    (gettext_noop("Set event policies"), "jobs.change_eventpolicy"),
    (gettext_noop("Manage alert handlers"), "jobs.manage_alerts"),
    (gettext_noop("Manage users"), "auth.change_user"),
    (gettext_noop("Manage groups"), "auth.change_group"),
)


@dataclass(frozen=True, slots=True)
class Role:
    verb: str
    is_mine: bool
    groups: Sequence[str]
    people: Sequence[str]  #: at most NAMED
    more: int  #: people who are not named


def find_roles(user: Any) -> list[Role]:
    """Every verb; five queries. Superusers may do everything and are named for each."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    every = Q(pk__in=[])
    for _, permission in PERMISSIONS:
        app, _, codename = permission.partition(".")
        every |= Q(content_type__app_label=app, codename=codename)
    permissions = Permission.objects.filter(every).select_related("content_type")
    names = {p.pk: f"{p.content_type.app_label}.{p.codename}" for p in permissions}
    for group, pk in Group.objects.filter(permissions__in=names).order_by("name").values_list("name", "permissions"):
        if pk in names:
            groups[names[pk]].append(group)
    staff = User.objects.filter(is_active=True, is_staff=True)
    for name in staff.filter(is_superuser=True).values_list("username", flat=True):
        for permission in names.values():
            found[permission].add(name)
    for through in ("user_permissions", "groups__permissions"):  # apart: joined, their numbers would multiply
        held = staff.filter(**{f"{through}__in": names}).values_list("username", through).distinct()
        for name, pk in held:
            if pk in names:
                found[names[pk]].add(name)
    return [
        Role(
            gettext(verb),
            user.has_perm(permission),
            groups[permission],
            sorted(found[permission])[:NAMED],
            max(0, len(found[permission]) - NAMED),
        )
        for verb, permission in PERMISSIONS
    ]
