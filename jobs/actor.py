"""Who acts: the word that every audit entry carries."""


def user(name: str) -> str:
    """A person in the admin."""
    return f"user:{name}"


def token(name: str) -> str:
    """A client of the HTTP API, by the name of its token."""
    return f"token:{name}"


def cron(name: str) -> str:
    """A cron task, by its name."""
    return f"cron:{name}"


def worker(name: str) -> str:
    """A worker process, by its RQ name."""
    return f"worker:{name}"


def job(job_id: object) -> str:
    """A job that submits others."""
    return f"job:{job_id}"


LISTENER = "listener"
SCHEDULER = "scheduler"
FEEDER = "feeder"
COMMAND = "command"
