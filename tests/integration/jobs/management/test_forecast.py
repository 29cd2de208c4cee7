"""manage.py forecast."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from redis import Redis

from jobs.main_api.client import main_api
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


def forecast(*words: str) -> tuple[list[str], str]:
    """The lines, and what stands on standard error."""
    out, err = StringIO(), StringIO()
    call_command("forecast", *words, stdout=out, stderr=err)
    return out.getvalue().splitlines(), err.getvalue()


def test_the_command_prints_a_line_for_each_occurrence(redis: Redis, sandbox: SandboxApi) -> None:
    lines, _ = forecast("campaign-1", "--days", "1", "--town", "settlement-1-1-1")
    assert len(lines) > 50
    assert lines[0].startswith("1001-06-01T12:54:00.000Z  POPULATION_GROWTH")
    assert lines == sorted(lines, key=lambda line: line[:24])
    as_json, _ = forecast("campaign-1", "--days", "1", "--town", "settlement-1-1-1", "--json", "--limit", "5")
    assert [json.loads(line)["at"] for line in as_json] == [line[:24] for line in lines[:5]]


def test_the_command_says_why_there_is_no_forecast(redis: Redis, sandbox: SandboxApi) -> None:
    assert forecast("campaign-3")[1] == "The campaign is inactive: nothing will happen.\n"
    for words, message in (
        (["no-such"], "there is no campaign no-such"),
        (["campaign-1", "--days", "0"], "--days"),
        (["campaign-1", "--limit", "-1"], "--limit"),
    ):
        with pytest.raises(CommandError, match=message):
            forecast(*words)
    with override_settings(API_URL="http://127.0.0.1:1/graphql"):
        main_api.cache_clear()
        with pytest.raises(CommandError, match="no forecast: main API"):
            forecast("campaign-1")
    main_api.cache_clear()
