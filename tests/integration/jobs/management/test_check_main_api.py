"""manage.py check_main_api against the sandbox and against APIs that are not what they should be."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from graphql import build_schema, graphql_sync

from jobs.main_api.client import MainApi
from tests.support.receivers import other_api


def test_operations_fit_the_schema(api: MainApi) -> None:
    """check_main_api says of every operation that it fits."""
    said = StringIO()
    call_command("check_main_api", stdout=said)

    assert "14 of 14 operations match the schema" in said.getvalue()


def what_is_refused() -> str:
    """What a check says that ends with exit code 1."""
    said = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_main_api", stdout=said)
    assert ended.value.code
    return f"{said.getvalue()}{ended.value}"


@pytest.mark.parametrize(
    ("introspection", "campaigns", "said"),
    [
        ({"errors": [{"message": "it is off"}]}, {}, "no schema from introspection: .*it is off"),
        ({"data": {"hello": "world"}}, {}, "no schema from introspection"),
        ({"errors": [{"message": "no", "extensions": {"code": "FORBIDDEN"}}]}, {}, "Check API_SERVICE_ACCOUNT_TOKEN"),
        (None, {"errors": [{"message": "broken"}]}, "campaigns cannot be read: campaigns: no code: broken"),
    ],
    ids=["no introspection", "another API", "forbidden", "no campaigns"],
)
def test_what_the_check_says_of_odd_apis(
    settings: Any, introspection: dict[str, Any] | None, campaigns: dict[str, Any], said: str
) -> None:
    """In one line each, and the exit code is 1."""
    schema = build_schema((Path(settings.BASE_DIR) / "sandbox" / "schema.graphql").read_text())

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if "__schema" not in request["query"]:
            return campaigns
        return introspection or {"data": graphql_sync(schema, request["query"]).data}

    with other_api(answer) as settings.API_URL:
        assert re.search(said, what_is_refused())


def test_check_main_api_says_what_does_not_fit(settings: Any) -> None:
    """An API whose settlements have no version, and which cannot expire events, is told so operation by operation."""
    sdl = (Path(settings.BASE_DIR) / "sandbox" / "schema.graphql").read_text()
    other = re.sub(r"type Settlement \{[^}]*\}", lambda m: m[0].replace("version: Int!", ""), sdl)
    other = re.sub(r"expireEvent\([^\n]*\n", "", other)
    schema = build_schema(other)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return {"data": graphql_sync(schema, request["query"], {"campaigns": []}).data}

    with other_api(answer) as settings.API_URL:
        said = what_is_refused()

    assert "expireEvent: does not match the schema: Cannot query field 'expireEvent' on type 'Mutation'" in said
    assert "settlement: does not match the schema: Cannot query field 'version' on type 'Settlement'" in said
    assert "getEffect: ok" in said
    assert re.search(r"(\d+) of 14 operations match the schema", said)
