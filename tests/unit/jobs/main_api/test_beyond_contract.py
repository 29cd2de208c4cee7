"""Which responses say that a query is not served."""

from typing import Any

import pytest

from jobs.errors import NotServed
from jobs.main_api.answers import Answer
from jobs.main_api.beyond_contract import BeyondContract, is_missing
from jobs.main_api.errors import read_error

NAME = "eventsByCampaign"
UNKNOWN = f'Cannot query field "{NAME}" on type "Query".'


def answer(error: Any, data: Any = None) -> Answer:
    return Answer({"eventsByCampaign": data}, (read_error(error),))


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        ({"message": UNKNOWN, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}, True),
        ({"message": UNKNOWN, "extensions": {"code": "BAD_USER_INPUT"}}, True),
        ({"message": UNKNOWN}, True),  # in production
        ({"message": f'Unknown argument "campaignId" on field "Query.{NAME}".', "extensions": {"status": 400}}, False),
        ({"message": 'Cannot query field "name" on type "Event".'}, False),  # another fault of the schema
        ({"message": f'Cannot query field "{NAME}s" on type "Query".'}, False),
        ({"message": f"{NAME}: campaign c-1 not found", "path": [NAME], "extensions": {"code": "NOT_FOUND"}}, False),
        ({"message": f"{NAME} failed", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}, False),
        ({"message": "Unauthorized", "extensions": {"code": "UNAUTHENTICATED"}}, False),
    ],
)
def test_only_the_schema_says_that_a_query_is_missing(error: Any, missing: bool) -> None:
    """An error about a campaign, the credential or the server's own trouble does not."""
    assert is_missing(NAME, answer(error)) is missing
    assert not is_missing(NAME, answer(error, data=[]))


def test_a_missing_query_is_not_sent_again() -> None:
    """The first answer tells, for an hour; an answer with data is passed on."""
    beyond, sent = BeyondContract(), []

    def send() -> Answer:
        sent.append(NAME)
        return answer({"message": UNKNOWN})

    for _ in range(3):
        with pytest.raises(NotServed, match=f"does not serve {NAME}"):
            beyond.query(NAME, send)
    other = beyond.query("event", lambda: Answer({"event": {}}, ()))

    assert sent == [NAME]
    assert other.data == {"event": {}}
