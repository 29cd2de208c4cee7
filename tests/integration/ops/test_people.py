"""Administrators cannot grant more than they have, by any path."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

pytestmark = pytest.mark.django_db
NEW = "a new long password 7"


@pytest.fixture
def ann(client: Client) -> User:
    """An administrator, logged in."""
    user = User.objects.create_user("ann", is_staff=True)
    user.groups.add(Group.objects.get(name="Administrator"))
    client.force_login(user)
    return user


@pytest.fixture
def root() -> User:
    """A superuser."""
    return User.objects.create_superuser("root", password="as it was")


def beyond() -> Permission:
    """A permission that no administrator has."""
    held = Permission.objects.filter(group__name="Administrator")
    return Permission.objects.exclude(pk__in=held)[0]


@pytest.fixture
def mighty() -> Group:
    """A group with a permission that no administrator has."""
    group = Group.objects.create(name="Mighty")
    group.permissions.add(beyond())
    return group


def change(client: Client, user: User, **fields: Any) -> int:
    """Send a user's form as it would be with these fields; the status."""
    sent = {
        "username": user.username,
        "is_active": "on",
        "is_staff": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "groups": list(user.groups.values_list("pk", flat=True)),
        **fields,
    }
    return client.post(f"/admin/auth/user/{user.pk}/change/", sent).status_code


def powers(user: User) -> tuple[bool, set[str], set[int]]:
    """What a user is by now."""
    user = User.objects.get(pk=user.pk)
    return (
        user.is_superuser,
        set(user.groups.values_list("name", flat=True)),
        set(user.user_permissions.values_list("pk", flat=True)),
    )


@pytest.mark.parametrize("whom", ["himself", "another"])
@pytest.mark.parametrize("sent", ["is_superuser", "groups", "user_permissions", "all"])
def test_an_administrator_grants_only_what_they_have(
    client: Client, ann: User, mighty: Group, whom: str, sent: str
) -> None:
    """Neither superuser, a higher group nor a permission, to themselves or to another."""
    user = ann if whom == "himself" else User.objects.create_user("bob", is_staff=True)
    before = powers(user)
    fields = {"is_superuser": "on", "groups": [mighty.pk], "user_permissions": [beyond().pk]}

    change(client, user, **(fields if sent == "all" else {sent: fields[sent]}))

    assert powers(user) == before


def test_an_administrator_grants_the_three_groups(client: Client, ann: User) -> None:
    """To another; a superuser grants anything."""
    bob = User.objects.create_user("bob")
    names = ["Viewer", "Operator", "Administrator"]
    assert change(client, bob, groups=list(Group.objects.filter(name__in=names).values_list("pk", flat=True))) == 302
    assert powers(bob)[1] == set(names)

    client.force_login(User.objects.create_superuser("root"))
    assert change(client, bob, is_superuser="on", user_permissions=[beyond().pk]) == 302
    assert powers(bob)[0]


@pytest.mark.parametrize("target", ["superuser", "mightier", "mightier, inactive"])
@pytest.mark.parametrize("path", ["change", "password", "delete", "delete selected"])
def test_users_with_more_permissions_cannot_be_changed(
    client: Client, ann: User, root: User, mighty: Group, target: str, path: str
) -> None:
    """Neither by their form, their password, nor by deletion."""
    eve = User.objects.create_user("eve", password="as it was", is_active="inactive" not in target)
    eve.groups.add(mighty)
    user = root if target == "superuser" else eve
    sent: dict[str, Any] = {"password1": NEW, "password2": NEW, "post": "yes", "username": "owned", "is_active": "on"}
    match path:
        case "change":
            change(client, user, username="owned")
        case "password":
            assert client.post(f"/admin/auth/user/{user.pk}/password/", sent).status_code == 403
        case "delete":
            assert client.post(f"/admin/auth/user/{user.pk}/delete/", sent).status_code == 403
        case _:
            client.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [user.pk], **sent})

    now = User.objects.get(pk=user.pk)
    assert (now.username, now.is_active) == (user.username, user.is_active)
    assert now.check_password("as it was")


def test_users_with_more_permissions_can_be_viewed(client: Client, ann: User, root: User) -> None:
    """A superuser's page and history, without the password hash."""
    for page in ("change", "history"):
        answer = client.get(f"/admin/auth/user/{root.pk}/{page}/")
        assert answer.status_code == 200
        assert root.password not in answer.content.decode()


def test_a_new_user_has_no_permissions(client: Client, ann: User, mighty: Group) -> None:
    """The form takes a name and a password, whatever else is sent."""
    sent = {
        "username": "new",
        "usable_password": "true",
        "password1": NEW,
        "password2": NEW,
        "is_superuser": "on",
        "is_staff": "on",
        "groups": [mighty.pk],
        "user_permissions": [beyond().pk],
    }

    page = client.post("/admin/auth/user/add/", sent, follow=True).content.decode()

    assert "new cannot log in yet: turn on “Staff status”, and choose a group." in page
    new = User.objects.get(username="new")
    assert powers(new) == (False, set(), set())
    assert not new.is_staff


@pytest.mark.parametrize("group", ["Administrator", "Viewer", "a new one"])
def test_a_group_gets_no_permission_that_its_editor_lacks(client: Client, ann: User, group: str) -> None:
    """Their own groups, others, and new ones."""
    known = Group.objects.filter(name=group).first()
    page = f"/admin/auth/group/{known.pk}/change/" if known else "/admin/auth/group/add/"
    view = Permission.objects.get(codename="view_job").pk

    client.post(page, {"name": group, "permissions": [view, beyond().pk]})
    assert not Group.objects.filter(name=group, permissions=beyond()).exists()

    assert client.post(page, {"name": group, "permissions": [view]}).status_code == 302
    assert list(Group.objects.get(name=group).permissions.values_list("pk", flat=True)) == [view]


@pytest.mark.parametrize("path", ["change", "delete", "delete selected"])
def test_a_group_with_more_permissions_cannot_be_changed(client: Client, ann: User, mighty: Group, path: str) -> None:
    """Neither renamed nor emptied nor deleted."""
    sent: dict[str, Any] = {"name": "tamed", "permissions": [], "post": "yes"}
    if path == "delete selected":
        client.post("/admin/auth/group/", {"action": "delete_selected", "_selected_action": [mighty.pk], **sent})
    else:
        assert client.post(f"/admin/auth/group/{mighty.pk}/{path}/", sent).status_code == 403

    assert Group.objects.get(pk=mighty.pk).name == "Mighty"
    assert list(mighty.permissions.all()) == [beyond()]


def test_lists_of_users_are_read_only() -> None:
    """An editable list would not check permissions on each row."""
    for model in (User, Group):
        assert not admin.site.get_model_admin(model).list_editable
