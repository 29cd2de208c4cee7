"""What the processes' logs say that no fault explains."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TRACEBACK: Final = "Traceback (most recent call last)"
_CHAINED: Final = ("The above exception was the direct cause", "During handling of the above exception")
#: What a lost Redis or database raises, by class.
EXPLAINED: Final = frozenset(
    {
        "ConnectionError",
        "TimeoutError",
        "ReadOnlyError",
        "BusyLoadingError",
        "ResponseError",
        "OutOfMemoryError",
        "OperationalError",
        "InterfaceError",
        "AdminShutdown",
        "CommandError",
        "PoolTimeout",
        "DatabaseError",
        "ConnectionResetError",
        "BrokenPipeError",
        "ConnectionRefusedError",
    }
)


def find_unexplained(folder: Path) -> Iterator[str]:
    """Exceptions in the logs that neither a lost server nor the main API explains, each once with its number."""
    found: Counter[str] = Counter()
    for log in sorted(folder.glob("*.log")):
        for raised in exceptions_in(log.read_text(errors="replace")):
            if raised.partition(":")[0].rpartition(".")[2] not in EXPLAINED:
                found[f"{log.name.rpartition('-')[0]} logged {raised[:200]}"] += 1
    for what, count in found.items():
        yield f"{what} ({count} times)"


def exceptions_in(text: str) -> Iterator[str]:
    """The exception that came out of each traceback of a log; its causes are printed before it."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if _TRACEBACK in line:
            end = next((n for n in range(number + 1, len(lines)) if lines[n] and not lines[n][0].isspace()), None)
            if end is not None and not any(following.startswith(_CHAINED) for following in lines[end + 1 : end + 4]):
                yield lines[end]
