"""Who may do what: for whoever needs something done that he may not do."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from redis import Redis

from jobs.permissions import GROUPS
from ops.reads.roles import PERMISSIONS, find_roles
from tests.support.people import member

pytestmark = pytest.mark.django_db


def test_each_verb_names_who_may(client: Client, redis: Redis) -> None:
    """Groups, people, and whether it is oneself; nobody who cannot log in to the admin."""
    member(client, "Operator", name="ola")
    operator = User.objects.get(username="ola")
    User.objects.create_superuser("root", "", "x")
    gone = User.objects.create_user("gone", is_staff=True, is_active=False)
    gone.user_permissions.set(Permission.objects.all())

    roles = {role.verb: role for role in find_roles(operator)}

    assert (roles["Retry jobs"].is_mine, roles["Retry jobs"].people) == (True, ["ola", "root"])
    assert roles["Retry jobs"].groups == ["Administrator", "Operator"]
    assert (roles["Manage alert handlers"].is_mine, roles["Manage alert handlers"].people) == (False, ["root"])


def test_every_permission_of_the_groups_is_a_verb() -> None:
    held = {name for names in GROUPS.values() for name in names if not name.startswith("view_")}
    listed = {permission.partition(".")[2] for _, permission in PERMISSIONS}

    assert held - listed <= {"delete_crontask"}, "one verb with add_crontask"


def test_every_verb_s_permission_exists() -> None:
    names = {f"{p.content_type.app_label}.{p.codename}" for p in Permission.objects.select_related("content_type")}

    assert [permission for _, permission in PERMISSIONS if permission not in names] == []


def test_the_page_is_in_the_menu(client: Client, redis: Redis) -> None:
    viewer = member(client, "Viewer")

    assert "/admin/jobs/pause/roles/" in viewer.get("/admin/").content.decode()
    assert "Force the circuit breaker" in viewer.get("/admin/jobs/pause/roles/").content.decode()
