"""The fingerprint that groups dead letters by failure: error class, normalised message, and where it was raised.

>>> fingerprint_of("TransientError: HTTP 502 for settlement-12 after 3.5 s", "")[1:]
('TransientError', 'HTTP 502 for # after # s', '')
"""

import re
from hashlib import blake2b
from typing import Final, NamedTuple

LONGEST: Final = 300  #: characters of a normalised message
#: Possessive, so that matching takes linear time for any text.
_TOKEN: Final = re.compile(r"HTTP \d{3}\b|(?:(?!HTTP \d{3}\b)[\w.:+-])++")
#: The part of a token with a digit up to its end, without final punctuation: an ID, a time or a number.
_NUMBER: Final = re.compile(r".*\d[\w:+-]*+(?:\.\w+)*+", re.DOTALL)
_FRAME: Final = re.compile(r'^ *File "([^"]+)", line \d+, in (\S+)', re.MULTILINE)
_SEARCHED: Final = 20_000  # characters at a traceback's end that contain its last frame


class Fingerprint(NamedTuple):
    """One kind of failure."""

    key: str  #: a hash of the rest, 16 characters
    error: str  #: the class name
    message: str  #: without IDs and numbers
    culprit: str  #: file and function of the last frame; empty without a traceback


def fingerprint_of(error: str, traceback: str) -> Fingerprint:
    """The failure of a job that died with this error ("Class: message") and traceback. Pure."""
    name, _, text = error[: 8 * LONGEST].partition(": ")
    message = _normalise(text)
    culprit = _culprit(traceback)
    key = blake2b(f"{name}\0{message}\0{culprit}".encode("utf-8", "replace"), digest_size=8).hexdigest()
    return Fingerprint(key, name[:120], message, culprit)


def _normalise(text: str) -> str:
    """The message with a # for each run of tokens with digits; a list is reduced to its distinct parts."""
    plain = without_numbers(text[: 4 * LONGEST])
    parts: list[str] = []
    for part in " ".join(re.sub(r"#(?:[\s,;/]+#)+", "#", plain).split()).split("; "):
        if not any(one.endswith(part) for one in parts):
            parts.append(part)
    return "; ".join(parts)[:LONGEST]


def without_numbers(text: str) -> str:
    """Replace each id, time and number by #, but not the status of an HTTP answer."""
    return _TOKEN.sub(_mask_number, text)


def _mask_number(token: re.Match[str]) -> str:
    """Keep HTTP status codes, the only numbers that distinguish failures."""
    found = token[0]
    return found if found.startswith("HTTP ") else _NUMBER.sub("#", found, count=1)


def _culprit(traceback: str) -> str:
    """The last frame without its line number, which changes with every release."""
    frames = _FRAME.findall(traceback[-_SEARCHED:])
    if not frames:
        return ""
    path, function = frames[-1]
    return f"{'/'.join(path.split('/')[-3:])} in {function}"[:200]
