"""Structured logs: JSON in production, readable lines in development, in one format for our code and the libraries."""

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, unquote

import structlog

from scheduler_project.text import LONGEST_TRACEBACK, bounded, plain

VERBOSE: Final = 5
LEVELS: Final[Mapping[str, int]] = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "verbose": VERBOSE,
}
_CAMEL: Final = {"duration_ms": "duration", "event": "message", "logger": "context"}
_CHATTY: Final = ("urllib3", "gql", "asyncio", "django.utils.autoreload")
_SECRETS: Final = (  # possessive quantifiers, and no unbounded prefix: matching time is linear in the text
    (re.compile(r"(?i)(bearer\s++)[\w.\-~+/]++=*+"), r"\1***"),
    (re.compile(r"camp_sk_\w++"), "camp_sk_***"),
    (re.compile(r"(?<=\w)(://[^\s:/@]*+):[^\s@/]++@"), r"\1:***@"),
)
#: What a terminal or a reader takes for something else: control characters, line breaks, and changes of direction.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_IN_TRACEBACK: Final = re.compile(_CONTROL.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))
_TRACEBACKS: Final = ("exception", "stack")  #: values of several lines
LONGEST_VALUE: Final = 10_000  #: characters of one value in a line
LONGEST_MASKED: Final = 1_000_000  #: characters of a text that are searched for secrets
SHORTEST_SECRET: Final = 6  #: characters; masking shorter ones would garble every line
_hidden: Final[set[str]] = set()  # secrets known to this process
EventDict = MutableMapping[str, Any]


def configure_logging(level: str, *, as_json: bool, secrets: Iterable[str] = ()) -> None:
    """Send every log of the process to stdout in one format. `level` is one of LEVELS.

    Each of `secrets`, and anything that looks like a secret, is masked everywhere, tracebacks included.
    """
    logging.addLevelName(VERBOSE, "VERBOSE")
    hide(secrets)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # structlog has no level below debug: at verbose it lets everything through.
        wrapper_class=structlog.make_filtering_bound_logger(0 if level == "verbose" else LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(capture=True)  # Python would write them to stderr in its own format
    sys.excepthook = _log_crash
    threading.excepthook = lambda died: _log_crash(died.exc_type, died.exc_value or died.exc_type(), died.exc_traceback)
    handler = logging.StreamHandler(sys.stdout)
    # Masking comes last, on the finished line: a secret may be in a nested value or an exception's text.
    render = [
        _name_level,
        _name_request,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        *(_as_json() if as_json else _as_lines()),
        lambda _logger, _method, line: plain(masked(line)),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(LEVELS[level])
    _quieten(level)


def _quieten(level: str) -> None:
    """Raise the level of libraries that log too much, or too openly."""
    # At lower levels it logs parts of its secret URLs (tokens, users, passwords) in forms that we cannot mask.
    logging.getLogger("apprise").setLevel(max(LEVELS[level], logging.INFO if level == "verbose" else logging.WARNING))
    logging.getLogger("axes").setLevel(logging.ERROR)  # ops/logins.py says the same in events of ours
    if level != "verbose":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(max(LEVELS[level], logging.WARNING))
        # It warns about every connection beyond its idle pool, which is intended.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def _name_level(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Set the predecessor's name for the level by its number: libraries define levels of their own."""
    number = event["_record"].levelno
    event["level"] = next((name for name, least in LEVELS.items() if number >= least), "verbose")
    return event


def _name_request(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add the request ID to lines that Django logs after the request's context was left."""
    request = getattr(event["_record"], "request", None)
    # META_KEY of scheduler_project/request_origin.py; importing that here would load Django before the settings.
    if request_id := getattr(request, "META", {}).get("scheduler.request_id"):
        event.setdefault("request_id", request_id)
    return event


def _log_crash(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Log an uncaught exception: Python would write it to stderr with its secrets."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, where)
    else:
        structlog.get_logger(__name__).critical("process.crashed", exc_info=(kind, error, where))


def _as_json() -> list[Any]:
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
        _bound,
        _camel_case,
        structlog.processors.JSONRenderer(),
    ]


def _as_lines() -> list[Any]:
    colors = bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
    return [
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S.%f", utc=False),
        structlog.processors.format_exc_info,
        _bound,
        _escape,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    ]


def _bound(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Shorten long values before rendering, so that the line stays valid JSON."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = bounded(value, LONGEST_TRACEBACK if name == "exception" else LONGEST_VALUE)
        elif not isinstance(value, bool | int | float | type(None)) and len(shown := repr(value)) > LONGEST_VALUE:
            event[name] = bounded(shown, LONGEST_VALUE)
    return event


def _escape(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal obeys, such as an escape sequence or a line break in a URL; JSON does so by itself."""
    for name, value in event.items():
        text = value if isinstance(value, str) else repr(value)
        if (escaped := (_IN_TRACEBACK if name in _TRACEBACKS else _CONTROL).sub(_name_character, text)) != text:
            event[name] = escaped
    return event


def _name_character(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _camel_case(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Use the predecessor's names: timestamp, level, message, context, jobId, jobType, duration, …"""
    named: dict[str, Any] = {}
    for key, value in event.items():
        if key == "timestamp":
            named[key] = re.sub(r"(\.\d{3})\d*Z$", r"\1Z", value)
        else:
            head, *rest = _CAMEL.get(key, key).split("_")
            named[head + "".join(word.capitalize() for word in rest)] = value
    first: dict[str, Any] = {k: named.pop(k) for k in ("timestamp", "level", "message", "context") if k in named}
    return {**first, **named}


def hide(secrets: Iterable[str]) -> None:
    """Mask these in every later line of this process, also in their URL and JSON encodings."""
    for secret in secrets:
        for form in {secret, unquote(secret), quote(unquote(secret), safe="")}:
            _hidden.update(word for word in (form, json.dumps(form)[1:-1]) if len(form) >= SHORTEST_SECRET)


def masked(text: str) -> str:
    """Mask known secrets in `text`, and everything that looks like one."""
    if len(text) > LONGEST_MASKED:
        text = bounded(text, LONGEST_MASKED)
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
