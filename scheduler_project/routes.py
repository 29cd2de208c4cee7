"""The URLs that installed apps bring: each registers its own in ready(), so that nothing here imports upwards."""

from collections.abc import Callable, Iterable
from typing import Any

_sources: dict[str, Callable[[], Iterable[Any]]] = {}


def add(app: str, patterns: Callable[[], Iterable[Any]]) -> None:
    """Serve what `patterns` returns; it is called when the URLs are first needed, so that a worker loads no page."""
    _sources[app] = patterns


def patterns() -> list[Any]:
    """Return the patterns of all apps, in the order in which the apps were added."""
    return [pattern for source in _sources.values() for pattern in source()]
