"""The format of logs, and the secrets that they mask."""

import json
import re
import time

import pytest

from scheduler_project.logs import mask
from tests.support import forked

CODE = """
import logging, structlog
from django.core.exceptions import PermissionDenied
from scheduler_project.logs import configure_logging
configure_logging("info", as_json={json})
structlog.get_logger("Worker").info("job.moved", job_id="7", job_type="X", duration_ms=2.5, url="redis://u:pw@h/0")
logging.getLogger("django").warning("sent %s", "Bearer abc.def")
structlog.get_logger("Worker").debug("unseen")
logging.getLogger("django.request").warning("Forbidden: %s", "/admin/", exc_info=PermissionDenied())
"""


def lines(*, as_json: bool) -> list[str]:
    """What a process prints."""
    code = CODE.format(json=as_json)
    return forked.run("-c", code, variables={}).stdout.splitlines()


def test_production_logs_are_json_with_the_predecessor_s_names() -> None:
    """All processes' logs have one shape, and secrets are masked."""
    ours, theirs, refused = map(json.loads, lines(as_json=True))

    assert list(ours)[:4] == ["timestamp", "level", "message", "context"]
    assert (ours["level"], ours["message"], ours["context"]) == ("info", "job.moved", "Worker")
    assert (ours["jobId"], ours["jobType"], ours["duration"]) == ("7", "X", 2.5)
    assert ours["url"] == "redis://u:***@h/0"
    assert (theirs["level"], theirs["message"]) == ("warn", "sent Bearer ***")
    assert (refused["level"], refused["message"]) == ("warn", "Forbidden: /admin/")
    assert "exception" not in refused


def test_development_logs_are_readable_lines() -> None:
    """One line each, a refused page too."""
    ours, theirs, refused = lines(as_json=False)

    assert "job.moved" in ours
    assert "job_id=7" in ours
    assert "Bearer ***" in theirs
    assert "Forbidden: /admin/" in refused


def test_a_text_from_outside_does_not_reach_the_terminal_as_it_is() -> None:
    """No line is forged and no escape sequence obeyed: in events, values, names of loggers and tracebacks."""
    code = """
import logging, structlog
from scheduler_project.logs import configure_logging
configure_logging("info", as_json=False)
odd = "a\\n2026-01-01 [error] forged\\r\\x1b[2J\\x9b1m\\u2028\\u202e"
class Odd:
    def __repr__(self): return odd
for text in (odd, odd.replace(" ", "_")):
    structlog.get_logger(text).info(text, reason=text, other=Odd(), several=[text])
    logging.getLogger("django.request").warning("Not Found: %s", text)
try:
    raise ValueError("\\x1b[2J\\r")
except ValueError:
    structlog.get_logger("x").exception("failed")
"""
    printed = output_of(code)

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", printed)
    assert len(re.findall(r"^20\d\d-\d\d-\d\d \d\d:", printed, re.MULTILINE)) == 5
    assert not re.search(r"^2026-01-01 ?_?\[error", printed, re.MULTILINE)
    assert r"\x1b[2J" in printed
    assert "Traceback (most recent call last):\n" in printed


def output_of(code: str) -> str:
    """All that a process prints that runs `code`, by whatever way."""
    ended = forked.run("-c", code, variables={})
    return ended.stdout + ended.stderr


SETUP = """
import logging, structlog, threading
from scheduler_project.logs import configure_logging
configure_logging("verbose", as_json=True, secrets=["p%40ss\\"word-7"])
"""


def test_library_levels_get_the_predecessor_s_names() -> None:
    """By number, whatever a library calls them: Apprise calls 5 TRACE."""
    code = (
        SETUP
        + "logging.addLevelName(5, 'TRACE'); log = logging.getLogger('x')\nfor n in (5, 15, 25, 50): log.log(n, 'y')"
    )

    levels = [json.loads(line)["level"] for line in output_of(code).splitlines()]

    assert levels == ["verbose", "debug", "info", "error"]


@pytest.mark.parametrize("raise_it", ["fail()", "threading.Thread(target=fail).start()"])
def test_uncaught_exceptions_are_logged_like_all_others(raise_it: str) -> None:
    """In any thread: a traceback is a line of JSON, without secrets."""
    code = f"{SETUP}\ndef fail(): raise OSError('no route for p@ss\"word-7')\n{raise_it}"

    (line,) = output_of(code).splitlines()

    crash = json.loads(line)
    assert (crash["level"], crash["message"]) == ("error", "process.crashed")
    assert "OSError: no route for ***" in crash["exception"]


@pytest.mark.parametrize("form", ['p%40ss"word-7', 'p@ss"word-7', "p%40ss%22word-7"])
def test_a_secret_is_masked_however_it_is_written(form: str) -> None:
    """As in the URL, as a library decodes it, and as JSON escapes it."""
    assert "ss" not in json.loads(output_of(f"{SETUP}\nlogging.getLogger('x').info({form!r})"))["message"]


SECRETS = """
import structlog
from scheduler_project.logs import configure_logging
configure_logging("info", as_json={json}, secrets=["hunter2-hunter2", ""])
log = structlog.get_logger("Worker")
log.info("x", headers={{"Authorization": "Bearer abc.def", "deep": ["redis://u:pw-of-redis@h/0"]}})
try:
    raise OSError("cannot reach postgres://u:pw-of-postgres@h/db with camp_sk_live and hunter2-hunter2")
except OSError:
    log.exception("y", said="hunter2-hunter2")
"""


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_reaches_the_log(as_json: bool) -> None:
    """From nested values or an exception's text, by its pattern or its value."""
    code = SECRETS.format(json=as_json)
    said = forked.run("-c", code, variables={}).stdout

    assert "OSError" in said
    for secret in ("abc.def", "pw-of-redis", "pw-of-postgres", "camp_sk_live", "hunter2"):
        assert secret not in said


def test_every_line_is_json_without_a_secret() -> None:
    """Whatever the secrets and the events: numbers that are secrets, secrets that look like JSON, odd objects."""
    ended = forked.run("-m", "tests.support.log_law", variables={})

    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]


@pytest.mark.parametrize("level", ["error", "warn", "info", "debug", "verbose"])
def test_every_level_of_the_predecessor_works(level: str) -> None:
    """With everything above it, and nothing below."""
    code = CODE.split("structlog.get_logger", maxsplit=1)[0].format(json=True).replace('"info"', repr(level))
    code += (
        "log = structlog.get_logger('x')\nfor name in ('error', 'warning', 'info', 'debug'): getattr(log, name)(name)\n"
    )
    code += "logging.getLogger('x').log(5, 'verbose')"
    printed = forked.run("-c", code, variables={}).stdout

    levels = [json.loads(line)["level"] for line in printed.splitlines()]

    order = ["error", "warn", "info", "debug", "verbose"]
    assert levels == order[: order.index(level) + 1]


ADVERSARIAL = [
    "a" * 1_000_000,
    "bearer" + " " * 1_000_000,
    "bearer " * 150_000,
    "a://" * 250_000,
    "a://b:" * 160_000,
    "a://b:" + "c" * 1_000_000,
    "camp_sk_" * 120_000,
    "a:" * 500_000,
    "a@" * 500_000,
    "\0" * 1_000_000,
    "ab:/" * 250_000,
    " " * 1_000_000,
]


@pytest.mark.parametrize("text", ADVERSARIAL, ids=lambda text: text[:12])
def test_masking_is_linear_in_the_text(text: str) -> None:
    """A million letters take milliseconds; a pattern once took 90 s for 200,000."""
    began = time.process_time()

    mask(text)

    assert time.process_time() - began < 2


def test_masking_finds_a_secret_in_a_long_text() -> None:
    """Wherever it is, also where the text is cut."""
    for secret in ("redis://u:hunter2@h/0", "Bearer hunter2", "camp_sk_hunter2"):
        for text in (f"{'x' * 200_000} {secret}", f"{secret} {'x ' * 200_000}", f"{'x ' * 600_000}{secret} {'y' * 9}"):
            assert "hunter2" not in mask(text)


def test_log_lines_are_bounded() -> None:
    """An error of megabytes is cut, visibly, and the line stays JSON."""
    code = SETUP + (
        "log = structlog.get_logger('x')\n"
        "log.info('a', text='x' * 5_000_000, nested={'deep': ['y' * 5_000_000]}, odd='\\ud83c')\n"
        "try: raise OSError('z' * 5_000_000)\n"
        "except OSError: log.exception('b')\n"
    )

    first, second = output_of(code).splitlines()

    assert len(first) < 30_000
    assert len(second) < 30_000
    assert "characters cut" in json.loads(first)["text"]
    assert "OSError" in json.loads(second)["exception"]


def test_half_a_surrogate_pair_does_not_lose_a_log_line() -> None:
    """In either format: stdout cannot encode it."""
    for as_json in ("True", "False"):
        code = CODE.split("structlog.get_logger", maxsplit=1)[0].format(json=as_json)
        assert "seen" in output_of(code + "structlog.get_logger('x').info('seen', name='\\ud83c')")
