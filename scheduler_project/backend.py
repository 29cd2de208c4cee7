"""Who may log in, and what they may do."""

from typing import Any, Final

from axes.backends import AxesStandaloneBackend
from django.core.exceptions import PermissionDenied
from django.db import connection

_GRANTED: Final = (
    "SELECT app_label, codename FROM auth_permission p JOIN django_content_type c ON c.id = p.content_type_id "
    "WHERE p.id IN (SELECT permission_id FROM auth_user_user_permissions WHERE user_id = %s "
    "UNION ALL SELECT permission_id FROM auth_user_groups g "
    "JOIN auth_group_permissions o ON o.group_id = g.group_id WHERE g.user_id = %s)"
)


class Backend(AxesStandaloneBackend):
    """Refuses addresses that are locked out. Users get Django's permissions, by one query in place of its two.

    Every page makes it, and Django took a tenth of a page's CPU to build them.
    """

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Answer for Django's own backend too, which decides whose password is right and is not asked any more."""
        if obj is None and user_obj.is_active and perm in _read_permissions(user_obj):
            return True
        raise PermissionDenied


def _read_permissions(user: Any) -> frozenset[str]:
    """Read them once for a request, as Django does."""
    known: frozenset[str] | None = vars(user).get("_granted")
    if known is None:
        with connection.cursor() as cursor:
            cursor.execute(_GRANTED, [user.pk, user.pk])
            known = vars(user)["_granted"] = frozenset(f"{app}.{name}" for app, name in cursor.fetchall())
    return known
