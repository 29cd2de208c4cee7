"""Structured logs: JSON in production, readable lines in development, in one format for our code and the libraries."""

import json
import logging
import math
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, unquote

import structlog

from scheduler_project.text import LONGEST_TRACEBACK, plain, shorten

VERBOSE: Final = 5
LEVELS: Final[Mapping[str, int]] = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "verbose": VERBOSE,
}
_CAMEL: Final = {"duration_ms": "duration", "event": "message", "logger": "context"}
_FIRST: Final = ("timestamp", "level", "message", "context")
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
_PLAIN: Final = frozenset({str, bool, type(None)})  #: types of values that JSON has
LONGEST_INTEGER: Final = 8192  #: bits
DEEPEST: Final = 20  #: levels of a nested value
LONGEST_MASKED: Final = 1_000_000  #: characters of a text that are searched for secrets
MOST_ROUNDS: Final = 5  #: of masking: a mask may complete another secret
SHORTEST_SECRET: Final = 6  #: characters; masking shorter ones would garble every line
_hidden: Final[set[str]] = set()  # secrets known to this process
EventDict = MutableMapping[str, Any]


def configure_logging(level: str, *, as_json: bool, secrets: Iterable[str] = ()) -> None:
    """Send every log of the process to stdout in one format. `level` is one of LEVELS.

    Each of `secrets`, and anything that looks like a secret, is masked everywhere, tracebacks included. Replaces what
    an earlier call set.
    """
    logging.addLevelName(VERBOSE, "VERBOSE")
    _hidden.clear()
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
    render = [
        _name_level,
        _name_request,
        _leave_out_refusal,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        *(_as_json() if as_json else _as_lines()),
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


def _leave_out_refusal(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Leave out the traceback of a page that a user may not see: Django logs one, and the line says what there is."""
    match event.get("exc_info"):
        case (kind, _, _) if getattr(kind, "__name__", "") == "PermissionDenied":
            del event["exc_info"]
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
        _shorten_values,
        _camel_case,
        _mask,
        structlog.processors.JSONRenderer(),
        lambda _logger, _method, line: plain(line),
    ]


def _as_lines() -> list[Any]:
    colors = bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
    return [
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S.%f", utc=False),
        structlog.processors.format_exc_info,
        _shorten_values,
        _escape,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
        lambda _logger, _method, line: plain(mask(line)),
    ]


def _shorten_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Shorten long values before rendering, so that the line stays valid JSON."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = shorten(value, LONGEST_TRACEBACK if name == "exception" else LONGEST_VALUE)
        elif not isinstance(value, bool | int | float | type(None)) and len(shown := _show(value)) > LONGEST_VALUE:
            event[name] = shorten(shown, LONGEST_VALUE)
    return event


def _show(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - anybody's __repr__
        return f"<{type(value).__name__}, whose repr failed: {type(error).__name__}>"


def _mask(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Mask each name and value of a line of JSON: in the finished line, secrets may hit numbers or punctuation."""
    if _is_clean(event):
        return event
    fixed = {name: _mask_value(event[name]) for name in _FIRST if name in event}
    return {**fixed, **_mask_names({name: value for name, value in event.items() if name not in fixed}, 0)}


def _is_clean(event: EventDict) -> bool:
    """Whether there is nothing to mask, as in nearly all lines; all at once, for a quarter of the time."""
    for value in event.values():
        if type(value) not in _PLAIN and not (type(value) in (int, float) and _is_number(value)):
            return False
    text = "\n".join((*event, *map(_show_plain, event.values())))
    return mask(text) == text


def _is_number(value: float) -> bool:
    """Whether JSON has it, and Python writes it."""
    return math.isfinite(value) if isinstance(value, float) else value.bit_length() <= LONGEST_INTEGER


def _show_plain(value: Any) -> str:
    return value if isinstance(value, str) else _show(value)


def _mask_names(found: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in found.items():
        text = mask(name if isinstance(name, str) else _show(name))
        while text in kept:  # two names with secrets
            text += "_"
        kept[text] = _mask_value(value, depth + 1)
    return kept


def _mask_value(value: Any, depth: int = 0) -> Any:
    """A value of JSON; a number that is or holds a secret becomes text, and so does what JSON does not have."""
    match value:
        case str():
            return mask(value)
        case None | bool():
            return value
        case int() | float():
            text = mask(shown := _show(value))
            return value if text == shown and _is_number(value) else text
        case Mapping() if depth < DEEPEST:
            return _mask_names(value, depth)
        case list() | tuple() if depth < DEEPEST:
            return [_mask_value(one, depth + 1) for one in value]
        case _:
            return mask(_show(value))


def _escape(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal obeys, such as an escape sequence or a line break in a URL; JSON does so by itself."""
    for name, value in event.items():
        text = _show_plain(value)
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
    first: dict[str, Any] = {k: named.pop(k) for k in _FIRST if k in named}
    return {**first, **named}


def hide(secrets: Iterable[str]) -> None:
    """Mask these in every later line of this process, also in their URL and JSON encodings."""
    for secret in secrets:
        for form in {secret, unquote(secret), quote(unquote(secret), safe="", errors="surrogatepass")}:
            _hidden.update(word for word in (form, json.dumps(form)[1:-1]) if len(form) >= SHORTEST_SECRET)


def mask(text: str) -> str:
    """Mask known secrets in `text`, and everything that looks like one."""
    if len(text) > LONGEST_MASKED:
        text = shorten(text, LONGEST_MASKED)
    for _ in range(MOST_ROUNDS):
        before = text
        for secret in sorted(_hidden, key=len, reverse=True):
            text = text.replace(secret, "***")
        for pattern, replacement in _SECRETS:
            text = pattern.sub(replacement, text)
        if text == before:
            break
    return text
