"""Actors: who did something, as every audit entry records it."""

from collections.abc import Callable, Mapping
from typing import Final

from django.utils.translation import gettext

from scheduler_project.text import line

LONGEST: Final = 120  #: characters of the actor columns


def user(name: str) -> str:
    """A user of the admin."""
    return line(f"user:{name}", LONGEST)


def token(name: str) -> str:
    """A client of the HTTP API, by the name of its token."""
    return line(f"token:{name}", LONGEST)


def cron(name: str) -> str:
    return f"cron:{name}"


def worker(name: str) -> str:
    """A worker process, by its RQ name."""
    return f"worker:{name}"


def job(job_id: object) -> str:
    """A job that submits other jobs."""
    return f"job:{job_id}"


def name_of(who: str) -> str:
    """An actor as pages and messages name it; the audit trail's exports and the API keep the actor itself.

    >>> [name_of(who) for who in ("user:olga", "token:tests", "cron:nightly", "scheduler")]
    ['olga', 'API token tests', 'cron task nightly', 'scheduler']
    """
    kind, separator, name = who.partition(":")
    write = _NAMES.get(kind)
    return write(name) if write and bool(separator) == bool(name) else who


_NAMES: Final[Mapping[str, Callable[[str], str]]] = {
    "user": lambda name: name,
    "token": lambda name: gettext("API token %(name)s") % {"name": name},
    "cron": lambda name: gettext("cron task %(name)s") % {"name": name},
    "worker": lambda name: gettext("worker %(name)s") % {"name": name},
    "job": lambda name: gettext("job %(name)s") % {"name": name},
    "listener": lambda _name: gettext("listener"),
    "scheduler": lambda _name: gettext("scheduler"),
    "rescuer": lambda _name: gettext("rescuer"),
    "monitor": lambda _name: gettext("monitor"),
    "world-clock": lambda _name: gettext("world clock"),
    "command": lambda _name: gettext("a command"),
}


LISTENER = "listener"
SCHEDULER = "scheduler"
RESCUER = "rescuer"
WORLD_CLOCK = "world-clock"
COMMAND = "command"
