"""What can go wrong with a job, sorted by what happens next.

JobError
├── TransientError        may work later: RETRYING, uses up an attempt
│   ├── VersionConflict   the entity changed meanwhile: re-read, recompute
│   ├── OutcomeUnknown    sent, and no clear answer: sent again only where that does no harm
│   └── LostBeforeSending the worker was lost before it sent anything: back into the queue
├── PermanentError        can never work as it is: DEAD at once
│   ├── Stopped           somebody gave the attempt up while it ran; what it had done is unknown
│   ├── NotFound          the main API has no such thing
│   ├── TooLarge          the request or its answer is larger than what either side takes; a smaller one may work
│   └── NotAuthorized     the main API refuses our credential: no other job will work either
├── CircuitOpen           the main API is down: waits, uses up no attempt
└── Skip                  nothing left to do: SKIPPED

Refused                   a request to the service (submit, cancel, …) that cannot be carried out
├── InvalidJob            a bad type, campaign, payload or due time; names the field
├── InvalidPause          a pause of something that does not exist, or until a time that is over; names the field
└── StateConflict         the job is not, or no longer, in a state that allows the move
"""

from datetime import datetime, timedelta


class JobError(Exception):
    """How an attempt of a job may end other than in success."""


class TransientError(JobError):
    """May work later. `retry_after`, where the main API named it, is the least time to wait."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VersionConflict(TransientError):
    """The entity changed between our read and our write; nothing was written."""


class OutcomeUnknown(TransientError):
    """A mutation was sent and nothing says clearly what became of it: it may or may not have been carried out.

    `may_resend` says whether sending it again does no harm.
    """

    def __init__(self, message: str, *, may_resend: bool = True, retry_after: timedelta | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.may_resend = may_resend


class LostBeforeSending(TransientError):
    """The worker was lost before it began to send what must not be sent twice: nothing was done."""


class PermanentError(JobError):
    """Can never work as it is."""


class TooLarge(PermanentError):
    """The request, or its answer, is larger than what the main API or the scheduler takes."""


class Stopped(PermanentError):
    """An operator stopped the attempt while it ran. `sent`: it may have done its work by then, or still do it."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class NotFound(PermanentError):
    """The main API has no such thing."""


class NotAuthorized(PermanentError):
    """The main API refuses API_SERVICE_ACCOUNT_TOKEN."""


class CircuitOpen(JobError):
    """The circuit breaker holds calls to the main API back; it may close at `until` (aware, wall-clock)."""

    def __init__(self, until: datetime) -> None:
        super().__init__("circuit breaker open")
        self.until = until


class Skip(JobError):
    """There is nothing left to do; the message says why."""


class Refused(Exception):
    """The service cannot do what was asked; nothing was changed."""


class InvalidJob(Refused):
    """A field of the job is missing or wrong. `field` is its name as the caller wrote it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidPause(Refused):
    """A field of the pause is missing or wrong. `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class StateConflict(Refused):
    """The job is not, or no longer, in a state that allows the move."""
