"""Watches topics for all streams of this process.

One thread reads every watched topic once a second, whoever watches it, and ends when nobody watches. A reader returns
a small value that differs once its topic has changed; a version is that value's digest, so that all processes agree.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import structlog
from django.db import DatabaseError, InterfaceError, connections
from redis import RedisError

log = structlog.get_logger(__name__)
EVERY_S: Final = 1.0
UNREADABLE: Final = "unreadable"  #: the version of a topic whose source does not answer
Names = frozenset[str]
Versions = dict[str, str]


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that pages show."""

    read: Callable[[Names], Mapping[str, Any]]  #: the value of each name; a topic of one thing has the name ""
    is_allowed: Callable[[Any], bool]  #: whether a user may follow it
    is_name: Callable[[str], bool] = "".__eq__


class Watch:
    """What one stream has been told."""

    def __init__(self, hub: "Hub", topics: Iterable[str]) -> None:
        self._hub = hub
        self.topics = frozenset(topics)
        self._told: Versions = {}

    def wait(self, seconds: float) -> Versions:
        """The versions of its topics that changed since the last call, after `seconds` at most."""
        changed = self._hub.wait_for(self.topics, self._told, seconds)
        self._told |= changed
        return changed


class Hub:
    """The versions of all topics that somebody watches."""

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._topics: dict[str, Topic] = {}
        self._watched: Counter[str] = Counter()
        self._versions: Versions = {}
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self.is_stopping: Callable[[], bool] = lambda: False  #: whether the process shuts down, which ends all streams

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self._topics)

    def add(self, kind: str, topic: Topic) -> None:
        """Offer the topics "kind" or "kind:name". A topic of the same kind is replaced."""
        self._topics[kind] = topic

    def allowed(self, topics: Iterable[str], user: Any) -> frozenset[str]:
        """Those of `topics` that exist and that the user may follow."""
        return frozenset(topic for topic in topics if self._is_allowed(topic, user))

    def _is_allowed(self, topic: str, user: Any) -> bool:
        kind, _, name = topic.partition(":")
        found = self._topics.get(kind)
        return found is not None and found.is_name(name) and found.is_allowed(user)

    @contextmanager
    def watch(self, topics: Iterable[str]) -> Iterator[Watch]:
        """Keep `topics` up to date until the end of the block."""
        watch = Watch(self, topics)
        with self._news:
            self._watched.update(watch.topics)
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="live", daemon=True)
                thread.start()
                self._thread = thread
        try:
            yield watch
        finally:
            with self._news:
                self._watched -= Counter(watch.topics)  # without those that nobody watches any more

    def wait_for(self, topics: Iterable[str], told: Versions, seconds: float) -> Versions:
        """As `Watch.wait`, for a stream that was told `told`."""

        def find_changed() -> Versions:
            return {t: v for t in topics if (v := self._versions.get(t)) is not None and told.get(t) != v}

        with self._news:
            self._news.wait_for(find_changed, seconds)
            return find_changed()

    def _run(self) -> None:
        while watched := self._begin_look():
            began = time.monotonic()
            try:
                found = self.look(watched)
            finally:
                connections.close_all()  # a thread that sleeps keeps no connection from the requests
            with self._news:
                if found != self._versions:
                    self._versions = found
                    self._news.notify_all()
            time.sleep(max(0.0, self._every_s - (time.monotonic() - began)))

    def _begin_look(self) -> frozenset[str]:
        """What is watched; if that is nothing, the next watcher starts a new thread."""
        with self._news:
            if not self._watched:
                self._thread, self._versions = None, {}
            return frozenset(self._watched)

    def look(self, topics: Iterable[str]) -> Versions:
        """Read the versions of topics that exist; those of one kind are read at once."""
        names: dict[str, set[str]] = {}
        for topic in topics:
            kind, _, name = topic.partition(":")
            names.setdefault(kind, set()).add(name)
        return {topic: v for kind, wanted in names.items() for topic, v in self._read(kind, wanted).items()}

    def _read(self, kind: str, names: set[str]) -> Versions:
        try:
            values = self._topics[kind].read(frozenset(names))
        except Exception as error:  # one topic must not end the thread that reads all
            if isinstance(error, DatabaseError | InterfaceError | RedisError):
                log.debug("live.topic_unreadable", topic=kind, error=str(error), next="the page shows the fault")
            else:
                log.exception("live.topic_failed", topic=kind)
            return {_join(kind, name): UNREADABLE for name in names}
        return {_join(kind, name): _version(values.get(name)) for name in names}


def _join(kind: str, name: str) -> str:
    return f"{kind}:{name}" if name else kind


def _version(value: Any) -> str:
    return blake2b(repr(value).encode(), digest_size=6).hexdigest()


hub: Final = Hub()  #: this process's
