"""What the logs look like."""

import json
import subprocess
import sys

import pytest

from tests.servers import ROOT

CODE = """
import logging, structlog
from monitoring.logs import configure_logging
configure_logging("info", json={json})
structlog.get_logger("Worker").info("job.moved", job_id="7", job_type="X", duration_ms=2.5, url="redis://u:pw@h/0")
logging.getLogger("django").warning("sent %s", "Bearer abc.def")
structlog.get_logger("Worker").debug("unseen")
"""


def lines(*, as_json: bool) -> list[str]:
    """What a process prints."""
    code = CODE.format(json=as_json)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_production_logs_are_json_in_the_seed_s_names() -> None:
    """Everybody's logs have one shape, and secrets are masked."""
    ours, theirs = map(json.loads, lines(as_json=True))

    assert list(ours)[:4] == ["timestamp", "level", "message", "context"]
    assert (ours["level"], ours["message"], ours["context"]) == ("info", "job.moved", "Worker")
    assert (ours["jobId"], ours["jobType"], ours["duration"]) == ("7", "X", 2.5)
    assert ours["url"] == "redis://u:***@h/0"
    assert (theirs["level"], theirs["message"]) == ("warn", "sent Bearer ***")


def test_development_logs_are_readable_lines() -> None:
    """One line each."""
    ours, theirs = lines(as_json=False)

    assert "job.moved" in ours
    assert "job_id=7" in ours
    assert "Bearer ***" in theirs


SECRETS = """
import structlog
from monitoring.logs import configure_logging
configure_logging("info", json={json}, secrets=["hunter2-hunter2", ""])
log = structlog.get_logger("Worker")
log.info("x", headers={{"Authorization": "Bearer abc.def", "deep": ["redis://u:pw-of-redis@h/0"]}})
try:
    raise OSError("cannot reach postgres://u:pw-of-postgres@h/db with camp_sk_live and hunter2-hunter2")
except OSError:
    log.exception("y", said="hunter2-hunter2")
"""


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_reaches_the_log(as_json: bool) -> None:
    """Neither from a nested value nor from an exception's text, by its look or by its value."""
    code = SECRETS.format(json=as_json)
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "OSError" in said
    for secret in ("abc.def", "pw-of-redis", "pw-of-postgres", "camp_sk_live", "hunter2"):
        assert secret not in said


@pytest.mark.parametrize("level", ["error", "warn", "info", "debug", "verbose"])
def test_every_level_of_the_seed_works(level: str) -> None:
    """With all that is graver, and nothing that is lighter."""
    code = CODE.split("structlog.get_logger", maxsplit=1)[0].format(json=True).replace('"info"', repr(level))
    code += (
        "log = structlog.get_logger('x')\nfor name in ('error', 'warning', 'info', 'debug'): getattr(log, name)(name)\n"
    )
    code += "logging.getLogger('x').log(5, 'verbose')"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    levels = [json.loads(line)["level"] for line in printed.splitlines()]

    order = ["error", "warn", "info", "debug", "verbose"]
    assert levels == order[: order.index(level) + 1]
