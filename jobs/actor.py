"""Actors: who did something, as every audit entry records it."""

from collections.abc import Callable, Mapping
from typing import Final

from django.utils.translation import gettext as _

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
    "token": lambda name: _("API token %(name)s") % {"name": name},
    "cron": lambda name: _("cron task %(name)s") % {"name": name},
    "worker": lambda name: _("worker %(name)s") % {"name": name},
    "job": lambda name: _("job %(name)s") % {"name": name},
    "listener": lambda _name: _("listener"),
    "scheduler": lambda _name: _("scheduler"),
    "rescuer": lambda _name: _("rescuer"),
    "monitor": lambda _name: _("monitor"),
    "world-clock": lambda _name: _("world clock"),
    "command": lambda _name: _("a command"),
}


LISTENER = "listener"
SCHEDULER = "scheduler"
RESCUER = "rescuer"
WORLD_CLOCK = "world-clock"
COMMAND = "command"
