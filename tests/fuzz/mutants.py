"""Many inputs from one: cheap, and as reproducible as the number that they come from."""

from collections.abc import Iterator
from random import Random
from typing import Final

MUTANTS: Final = 19  #: of each input
#: What is put in, besides bytes that mean nothing.
_TOKENS: Final = (
    b"",
    b"null",
    b"true",
    b"false",
    b"-1",
    b"1e999",
    b"[]",
    b"{}",
    b'"',
    b"\\ud83c",
    b"\\u0000",
    b"\0",
    b"\xff",
    b"[" * 50,
    b'"errors":[{}],',
    b'"success":true',
    b'"code":"CONFLICT"',
    b"9" * 40,
    b",",
    b":",
    b"}}",
    b"://",
    b"@",
    b"%00",
    b" ",
)


def mutants(body: bytes, seed: int, count: int = MUTANTS) -> Iterator[bytes]:
    """Yield `body`, and `count` changes of it.

    >>> list(mutants(b"abc", 1, 2)) == list(mutants(b"abc", 1, 2))
    True
    """
    yield body
    random = Random(seed)
    for _ in range(count):
        changed = body
        for _ in range(random.randint(1, 3)):
            changed = _change(changed, random)
        yield changed


def _change(body: bytes, random: Random) -> bytes:
    """Replace a part by a token, by another part, or by nothing."""
    start = random.randint(0, len(body))
    end = min(len(body), start + random.choice((0, 0, 1, 2, 8, 30)))
    match random.randrange(4):
        case 0:
            other = random.randint(0, len(body))
            put = body[other : other + random.randint(1, 30)]
        case 1:
            put = random.randbytes(random.randint(1, 3))
        case _:
            put = random.choice(_TOKENS)
    return body[:start] + put + body[end:]
