"""RQ's commands to a worker, as its API, its command line, the dashboard and our own pages send them."""

from typing import Any, Final

import msgspec
from redis import Redis
from rq.command import PUBSUB_CHANNEL_TEMPLATE, send_command

from jobs.actor import name_of

SHUTDOWN: Final = "shutdown"
LONGEST: Final = 2_000  #: characters of a command's field
STOPS: Final = ("stop-job", "stop-execution")  #: each of our jobs has at most one execution


class Command(msgspec.Struct, frozen=True):
    """A command. `by` and `reason` are ours; RQ's own tools do not send them."""

    command: str
    job_id: str = ""
    by: str = "an RQ command"
    reason: str = ""

    @property
    def who(self) -> str:
        """Who sent it, and why if given."""
        return f"{name_of(self.by)}: {self.reason}" if self.reason else name_of(self.by)


def read(data: Any) -> Command:
    """Parse a command. Raises ValueError."""
    try:
        command = msgspec.json.decode(data, type=Command)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"no command: {error}") from None
    if max(map(len, (command.command, command.job_id, command.by, command.reason))) > LONGEST:
        raise ValueError("no command: too long")
    return command


def stop_job(job_id: str, worker: str, *, by: str, reason: str, connection: Redis) -> bool:
    """Tell `worker` to stop a running job. Returns whether it listens. Raises redis.RedisError."""
    command = Command(STOPS[0], job_id, by, reason)
    return bool(connection.publish(PUBSUB_CHANNEL_TEMPLATE % worker, msgspec.json.encode(command)))


def shut_down(worker: str, connection: Redis) -> None:
    """Tell `worker` to stop after its current jobs. Raises redis.RedisError."""
    send_command(connection, worker, SHUTDOWN)
