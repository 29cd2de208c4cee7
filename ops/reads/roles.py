"""Who may do what: each verb with the groups and people that have it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q

NAMED: Final = 10  #: people named for one verb
#: Each verb in words, with its permission.
VERBS: Final = (
    ("Look at jobs, alerts and processes", "jobs.view_job"),
    ("Submit jobs", "jobs.add_job"),
    ("Retry jobs", "jobs.retry_job"),
    ("Cancel jobs", "jobs.cancel_job"),
    ("Discard dead letters", "jobs.discard_job"),
    ("Reschedule jobs", "jobs.reschedule_job"),
    ("Run jobs now", "jobs.run_now_job"),
    ("Export jobs", "jobs.export_jobs"),
    ("Acknowledge failures", "jobs.change_failuregroup"),
    ("Acknowledge and resolve alerts", "jobs.acknowledge_alerts"),
    ("Pause and resume", "jobs.pause_jobs"),
    ("Force the circuit breaker, set the main API's limits", "jobs.control_breaker"),
    ("Set job types' attempts, time limits and concurrency", "jobs.change_typesettings"),
    ("Pause and resume world clocks", "jobs.pause_worldclock"),
    ("Change cron tasks", "jobs.change_crontask"),
    ("Add and delete cron tasks", "jobs.add_crontask"),
    ("Set calendars", "jobs.change_campaigncalendar"),
    ("Set, start and stop world clocks", "jobs.change_worldclock"),
    ("Answer questions about events", "jobs.change_eventquestion"),
    ("Set event policies", "jobs.change_eventpolicy"),
    ("Answer questions about events", "jobs.change_eventquestion"),
    ("Set event policies", "jobs.change_eventpolicy"),
    ("Manage alert handlers", "jobs.manage_alerts"),
    ("Manage users", "auth.change_user"),
    ("Manage groups", "auth.change_group"),
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
    for _, permission in VERBS:
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
            verb,
            user.has_perm(permission),
            groups[permission],
            sorted(found[permission])[:NAMED],
            max(0, len(found[permission]) - NAMED),
        )
        for verb, permission in VERBS
    ]
