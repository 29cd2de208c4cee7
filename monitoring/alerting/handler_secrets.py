"""The secrets of alert handlers, and which parts of a secret URL are secret.

Libraries put parts of a URL into their messages. What one handler's own answers say is masked with a wide net. In every
later line of the process, alerts included, only what cannot be a common word is: `/alerts` would garble them all.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from monitoring.alerting.channels.base import LONGEST_ANSWER
from scheduler_project.logs import SHORTEST_SECRET, mask
from scheduler_project.text import line

SHORTEST_TOKEN: Final = 8  #: characters; a shorter part of a URL is taken for a word, not a secret
SHORTEST_PHRASE: Final = 20  #: characters; letters only of this length, in both cases, are no word


def hide_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """Mask a handler's secrets, and the parts of its secret URLs, in an answer that it got."""
    for part in of_handler(secrets):
        text = text.replace(part, "***")
    return line(mask(text), LONGEST_ANSWER)


def of_handler(secrets: Mapping[str, str]) -> list[str]:
    """Return a handler's secrets and all parts of its secret URLs that may be secret, the longest first.

    >>> of_handler({"url": "tgram://123456789:AbC-dEf/-4001/"})[1:]
    ['123456789', '/-4001/', 'AbC-dEf']
    """
    parts = {part for secret in secrets.values() for part in (secret, *_wide(secret))}
    return sorted((part for part in parts if len(part) >= SHORTEST_SECRET), key=lambda part: (-len(part), part))


def of_process(secrets: Mapping[str, str]) -> list[str]:
    """Return the secrets of a handler that no other text contains by chance.

    >>> of_process({"url": "jsons://ann:pass-word@host/campaign-1/alerts"})[1:]
    ['pass-word']
    >>> of_process({"url": "https://hooks.slack.com/services/T0/B0/a1B2c3D4e5F6"})[1:]
    ['/services/T0/B0/a1B2c3D4e5F6', 'a1B2c3D4e5F6']
    """
    parts = {part for secret in secrets.values() for part in (secret, *_narrow(secret))}
    return sorted((part for part in parts if len(part) >= SHORTEST_SECRET), key=lambda part: (-len(part), part))


def _wide(url: str) -> Iterator[str]:
    """A URL's path, its password and everything that looks like a token; the host is no secret."""
    user, password, rest = _split(url)
    yield from (password, rest)
    yield from (word for word in (user, *_parts_of(rest)) if _may_be_token(word))


def _narrow(url: str) -> Iterator[str]:
    """A URL's password, what looks random, and the path if some of that is in it."""
    user, password, rest = _split(url)
    random = [word for word in (user, *_parts_of(rest)) if _looks_random(word)]
    yield from (password, *random)
    if any(word in rest for word in random):
        yield rest


def _split(url: str) -> tuple[str, str, str]:
    """Return the user (a token may stand there, or in place of the host), the password and the rest of a URL."""
    rest = url.partition("://")[2]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    known = place.rpartition("@")[0] or place
    user, _, password = known.partition(":")
    return user, password, rest.removeprefix(place)


def _parts_of(rest: str) -> list[str]:
    return re.split(r"[/?&=#,:@]", rest)


def _may_be_token(word: str) -> bool:
    return len(word) >= SHORTEST_TOKEN and "." not in word and any(c.isdigit() for c in word)


def _looks_random(word: str) -> bool:
    """Whether some part of it changes between letters and digits more than once, or is long and in both cases.

    >>> [_looks_random(word) for word in ("a1B2c3D4", "550e8400-e29b-41d4", "AbCdEfGhIjKlMnOpQrStUv")]
    [True, True, True]
    >>> [_looks_random(word) for word in ("campaign-1-alerts-2", "production2026", "123456789", "ops.example.org")]
    [False, False, False, False]
    """
    for part in re.split(r"[-_.]", word):
        if len(part) >= SHORTEST_TOKEN and len(re.findall(r"[0-9]+|[^0-9]+", part)) > 2:
            return True
        if len(part) >= SHORTEST_PHRASE and part.lower() != part != part.upper():
            return True
    return False
