"""The page about the main API: the last check, and who may run one."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from redis import Redis

from jobs import main_api_check
from jobs.main_api import operations
from jobs.models import MainApiCheck, OperatorAction
from tests.support.people import member
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/jobs/pause/main-api/"


@pytest.fixture
def operator(client: Client, redis: Redis) -> Client:
    """A browser of bob, an operator."""
    return member(client, "Operator")


def test_an_operator_checks_the_main_api(operator: Client, sandbox: SandboxApi) -> None:
    """The result is stored, audited and shown, with what the main API's owners must change."""
    empty = operator.get(PAGE).content.decode()
    sandbox.control("POST", "dialect", {"points": [8]})
    before = sandbox.world()
    page = operator.post(PAGE, follow=True).content.decode()

    assert "No check yet." in empty
    assert "The main API was checked. The scheduler cannot work with it." in page
    assert "updateSettlement: BAD_REQUEST: branchId must be a UUID." in page
    assert "Its owners must change: accept its own IDs as branchId and campaignId." in page
    assert "bob<br>" in page
    assert f"All {len(operations.names())} match the schema" in page
    assert sandbox.world() == before
    assert [(one.actor, one.verb, one.target) for one in OperatorAction.objects.all()] == [
        ("user:bob", "checked", "main API")
    ]


def test_a_failed_check_keeps_the_last_result(operator: Client, sandbox: SandboxApi) -> None:
    """With when and why it failed."""
    operator.post(PAGE)
    sandbox.control("POST", "faults", {"errorRate": 1})
    said = operator.post(PAGE, follow=True).content.decode()

    assert "The main API could not be checked: main API: HTTP 500." in said
    assert "The newest check failed: main API: HTTP 500." in said
    assert "The result below is older." in said
    assert main_api_check.last().report
    assert "Points of the contract" in said


def test_a_viewer_sees_the_result_and_no_button(viewer: Client, sandbox: SandboxApi) -> None:
    """And the server refuses a post."""
    main_api_check.store(main_api_check.run(actor="monitor"))
    page = viewer.get(PAGE).content.decode()

    assert "the monitor<br>" in page
    assert "Check now" not in page
    assert viewer.post(PAGE).status_code == 403
    assert not OperatorAction.objects.exists()


def test_a_report_of_another_release_is_ignored(client: Client, redis: Redis) -> None:
    """The page says that there is no check yet."""
    client.force_login(User.objects.create_superuser("ann", "", "x"))
    MainApiCheck.objects.create(report={"format": 2, "points": "all"})

    assert "No check yet." in client.get(PAGE).content.decode()
