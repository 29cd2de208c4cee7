"""Actors: who did something, as every audit entry records it."""

from typing import Final

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


LISTENER = "listener"
SCHEDULER = "scheduler"
RESCUER = "rescuer"
WORLD_CLOCK = "world-clock"
COMMAND = "command"
