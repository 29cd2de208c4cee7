"""manage.py check_main_api against the sandbox and against APIs that are not what they should be."""

import json
import logging
import re
import socket
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone
from graphql import build_schema, graphql_sync

from jobs import main_api_check
from jobs.broker import keys
from jobs.main_api import heard
from jobs.main_api.client import MainApi
from jobs.models import MainApiCheck
from jobs.service import Submission, submit
from sandbox.dialect import DIALECTS
from tests.support.receivers import other_api
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
CAMPAIGN = {"id": "c-1", "name": "C", "isActive": True, "currentWorldTime": None}


def run(*words: str) -> tuple[int, str]:
    """The exit code, and what is printed."""
    said, code = StringIO(), 0
    try:
        call_command("check_main_api", *words, stdout=said, stderr=said)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, said.getvalue()


def test_the_sandbox_passes_the_check(api: MainApi, sandbox: SandboxApi) -> None:
    """Every operation and every point, with the effects of jobs; nothing has changed."""
    sandbox.control("POST", "dialect", {"points": []})
    heard.Notes(keys.redis()).note(b"campaign.campaign-1.entityModified")
    payload = {"effectId": "effect-1-1", "executeAt": (timezone.now() + timedelta(days=1)).isoformat()}
    submit(Submission(type="DEFERRED_EFFECT", campaign_id="campaign-1", payload=payload), actor="test")
    before = sandbox.world()
    code, said = run()

    assert (code, sandbox.world()) == (0, before)
    assert "16 of 16 operations match the schema" in said
    assert "15 Result of effects: fits: affectedFields is [] in a dry run of effect-1-1." in said
    assert said.rstrip().endswith("The main API fits.")
    assert re.findall(r"^ ?(\d+) [\w ]+: (?!fits)", said, re.MULTILINE) == ["14"]


def test_the_report_is_printed_as_json_and_stored(api: MainApi, sandbox: SandboxApi) -> None:
    """It names the effect that was given."""
    sandbox.control("POST", "dialect", {"points": sorted(DIALECTS["today"])})
    code, said = run("--json", "--effect", "effect-1-2")
    report = json.loads(said)

    assert (code, report["outcome"], report["exitCode"]) == (0, "tolerated", 0)
    assert (report["checkedBy"], report["campaigns"], report["format"]) == ("command", 3, 1)
    assert report["points"][0]["verdict"] == "tolerated"
    assert MainApiCheck.objects.get().report == report


def test_logs_are_not_mixed_with_the_json(api: MainApi, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output has the report only."""
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger().addHandler(handler)
    try:
        call_command("check_main_api", "--json")
    finally:
        logging.getLogger().removeHandler(handler)
    written = capsys.readouterr()

    assert json.loads(written.out)["format"] == 1
    assert "main_api.checked" in written.err
    assert handler.stream is sys.stdout


def test_points_that_cannot_work_are_listed_at_the_end(api: MainApi, sandbox: SandboxApi) -> None:
    """And what they may hide."""
    sandbox.control("POST", "dialect", {"points": [8]})
    code, said = run()
    sandbox.control("POST", "dialect", {"points": [8, 10]})
    hidden_code, hidden = run()

    assert (code, hidden_code) == (1, 1)
    assert "The scheduler cannot work with this main API: see point 8. Check again when that is changed: points" in said
    assert "10 Rights of the credential: the API's fault: mutations are refused: updateSettlement: FORBIDDEN" in hidden
    assert "see point 10. Check again when that is changed: points 1, 7, 8, 11, 12, 14, 15, 16 could not be" in hidden


@pytest.mark.parametrize(
    ("introspection", "campaigns", "code", "said"),
    [
        ({"errors": [{"message": "it is off"}]}, {"data": {"campaigns": [CAMPAIGN]}}, 0, "introspection: .*it is off"),
        ({"data": {"hello": "world"}}, {"data": {"campaigns": []}}, 0, "introspection: the answer holds no schema"),
        ({"data": {"__schema": {"types": 1}}}, {"data": {"campaigns": []}}, 0, "the schema cannot be read"),
        (None, {"errors": [{"message": "no", "extensions": {"code": "FORBIDDEN"}}]}, 1, "Check API_SERVICE_ACCOUNT"),
        (None, {"errors": [{"message": "broken"}]}, 1, "campaigns cannot be read: campaigns: no code: broken"),
        (None, 503, 3, "The main API cannot be reached: .*HTTP 503"),
        (None, b"<html>", 3, "cannot be reached: .*with neither data nor errors"),
    ],
    ids=["no introspection", "another API", "half a schema", "forbidden", "no campaigns", "HTTP 503", "HTML"],
)
def test_the_check_describes_odd_apis(
    redis: Any, settings: Any, introspection: dict[str, Any] | None, campaigns: Any, code: int, said: str
) -> None:
    """In words, with the exit code; without introspection it continues."""
    schema = build_schema((Path(settings.BASE_DIR) / "sandbox" / "schema.graphql").read_text())

    def answer(request: dict[str, Any]) -> Any:
        if "campaigns {" in request["query"]:
            return campaigns
        if "__schema" not in request["query"]:
            return {"errors": [{"message": "not here", "extensions": {"code": "NOT_FOUND"}}]}
        return introspection or {"data": graphql_sync(schema, request["query"]).data}

    with other_api(answer) as settings.API_URL:
        ended, printed = run()

    assert re.search(said, printed)
    assert ended == code


def test_silence_ends_the_check(redis: Any, settings: Any) -> None:
    """After one request; the last report stays, with the reason why the newest check failed."""
    main_api_check.store(main_api_check.run(actor="test"))
    settings.API_REQUEST_TIMEOUT = timedelta(milliseconds=200)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.API_URL = f"http://127.0.0.1:{silent.getsockname()[1]}/graphql"
        code, said = run()

    assert code == 3
    assert "timed out" in said
    assert "timed out" in main_api_check.last().failure


def test_the_check_names_each_operation_that_does_not_fit(redis: Any, settings: Any) -> None:
    """Settlements without a version, events that cannot be expired."""
    sdl = (Path(settings.BASE_DIR) / "sandbox" / "schema.graphql").read_text()
    other = re.sub(r"type Settlement \{[^}]*\}", lambda m: m[0].replace("version: Int!", ""), sdl)
    other = re.sub(r"expireEvent\([^\n]*\n", "", other)
    schema = build_schema(other)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        done = graphql_sync(schema, request["query"], {"campaigns": []}, variable_values=request["variables"])
        return {"data": done.data, "errors": [error.formatted for error in done.errors or ()]}

    with other_api(answer) as settings.API_URL:
        code, said = run()

    assert code == 1
    assert "expireEvent: does not match the schema: Cannot query field 'expireEvent' on type 'Mutation'" in said
    assert "settlement: does not match the schema: Cannot query field 'version' on type 'Settlement'" in said
    assert "getEffect: does not" not in said
    assert re.search(r"(\d+) of 16 operations match the schema", said)


def test_the_check_works_without_its_database(api: MainApi) -> None:
    """It knows no effect, and stores no report."""

    def away(*_: object) -> None:
        raise DatabaseError("the database is away")

    with connection.execute_wrapper(away):
        code, said = run()

    assert code == 0
    assert said.count("the database is away") == 2
