"""What several integration tests share beside the real things."""

from collections.abc import Iterator

import pytest

from monitoring import alerting
from monitoring.alerting import registered
from monitoring.alerting.message import Message


@pytest.fixture
def heard() -> Iterator[list[Message]]:
    """The messages that a registered function is called with."""
    messages: list[Message] = []

    @alerting.register_handler
    def keep(message: Message) -> None:
        messages.append(message)

    yield messages
    registered.forget(keep)
