"""What the tests of this folder share."""

import pytest

from tests.support.events import CAMPAIGN
from tests.support.servers import SandboxApi


@pytest.fixture
def today(sandbox: SandboxApi) -> SandboxApi:
    """The main API as it is served today, which leaves the effects to us."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    return sandbox


@pytest.fixture
def overdue(sandbox: SandboxApi) -> None:
    """So long overdue that the contract lists it, too."""
    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "minutes": 10})
