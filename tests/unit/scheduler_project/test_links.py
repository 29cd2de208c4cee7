"""URLs of pages, from threads that serve no request."""

from concurrent.futures import ThreadPoolExecutor

from django.test import override_settings

from scheduler_project.links import page


def test_a_link_has_the_prefix_once() -> None:
    """In threads where Django knows it, and where it does not."""
    with override_settings(URL_PREFIX="/scheduler"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(page, "index").result() == "/scheduler/admin/"
        assert page("index") == "/scheduler/admin/"
    assert page("index") == "/admin/"
