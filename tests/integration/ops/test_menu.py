"""The menu beside every page: rendered once for equal menus, and yet the page's own."""

import re

import pytest
from django.test import Client
from django.utils import timezone
from redis import Redis

from monitoring.models import Alert
from tests.support.people import member

pytestmark = pytest.mark.django_db
_LINK = re.compile(
    r'<a href="[^"]+" class="([^"]*)">(?:(?!</a>).)*?<span>([^<]+)</span>(?:<span class="ops-badge">(\d+))?'
)


def links(client: Client, page: str) -> list[tuple[str, bool, str]]:
    """The name of each link of the menu, whether it is the page's, and its badge."""
    html = client.get(f"/admin/{page}").content.decode()
    menu = html[html.index('id="nav-sidebar-apps"') : html.index('id="user-menu"')]
    return [(name, "active" in classes.split(), badge) for classes, name, badge in _LINK.findall(menu)]


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("", "Dashboard"),
        ("jobs/job/", "Jobs"),
        ("jobs/job/types/", "Types"),
        ("jobs/pause/", "Pauses"),
        ("jobs/pause/limits/", "Main API limits"),
        ("queues/", "Queues"),
    ],
)
def test_a_page_has_its_title_at_the_top(admin_client: Client, redis: Redis, page: str, title: str) -> None:
    """Unfold takes it from a variable that the skeleton sets; without it each page said "Welcome admin"."""
    html = admin_client.get(f"/admin/{page}").content.decode()

    assert re.sub("<[^>]*>", "", html[html.index("<h1") : html.index("</h1>")]).split() == title.split()


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("", "Dashboard"),
        ("jobs/job/?state=DEAD", "Jobs"),
        ("jobs/job/add/", "Jobs"),
        ("jobs/job/upcoming/", "Upcoming"),
        ("jobs/job/types/", "Types"),
        ("jobs/pause/", "Pauses"),
        ("jobs/pause/processes/", "Processes"),
        ("jobs/campaignclock/advances/", "Advances"),
        ("queues/", "Queues"),
    ],
)
def test_the_menu_marks_the_page(client: Client, redis: Redis, page: str, name: str) -> None:
    assert [link for link, active, _ in links(member(client, "Administrator"), page) if active] == [name]


def test_each_user_has_a_menu_of_their_own(client: Client, redis: Redis) -> None:
    """With the links that they may follow, and the badges of now."""
    viewer = member(client, "Viewer")
    before = links(viewer, "jobs/job/")
    Alert.objects.create(key="k", title="t", severity=30, last_at=timezone.now())
    after = links(viewer, "jobs/job/")
    administrator = links(member(client, "Administrator", name="ann"), "jobs/job/")

    assert ("Alerts", False, "") in before
    assert ("Alerts", False, "1") in after
    assert {name for name, *_ in administrator} - {name for name, *_ in after} >= {"Alert handlers", "Users"}
