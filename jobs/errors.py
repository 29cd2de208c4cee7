"""The errors of jobs, by what happens next.

JobError
├── TransientError        may work later: RETRYING, counts as a failure
│   ├── VersionConflict   the entity changed meanwhile: re-read, recompute
│   ├── TooManyRequests   the main API turned the request away unread
│   ├── OutcomeUnknown    sent, but no clear response: sent again only if that is safe
│   └── LostBeforeSending the worker was lost before it sent anything: back into the queue
├── PermanentError        can never work: DEAD at once
│   ├── Stopped           an operator stopped the attempt; its outcome may be unknown
│   ├── NotFound          the main API does not have the entity
│   ├── NotServed         the main API does not have the query, which its contract does not promise
│   ├── Inactive          the main API does not execute an effect that is switched off
│   ├── TooLarge          the request or response exceeds a size limit; a smaller one may work
│   │   └── TooComplex    the request has more fields than the main API takes
│   ├── Forbidden         the main API forbids this one object, and allows others
│   └── NotAuthorized     the main API rejects our credential: no other job will work either
├── MustWait              nothing may be sent for now: waits, counts as no failure
│   ├── CircuitOpen       the main API is down
│   ├── NoPermit          the main API's limits left no room in time
│   └── AwaitsAnswer      an operator is asked first
├── NotBegun              no thread was free, or no time left: back into the queue, counts as no failure
├── Outage                our database or Redis is down: waits, counts as no failure
└── Skip                  nothing left to do: SKIPPED

Refused                   a request to the service (submit, cancel, …) that cannot be carried out
├── InvalidJob            an invalid type, campaign, payload or due time; names the field
├── InvalidPause          a pause of something that does not exist, or until a past time; names the field
├── InvalidLimit          a limit of requests that is out of range; names the field
├── InvalidPolicy         a policy for events that cannot be; names the field
├── InvalidForecast       an invalid parameter of a forecast; names it
└── StateConflict         the job is not, or no longer, in a state that allows the move
"""

from datetime import datetime, timedelta
from typing import Final

from scheduler_project.text import line

LONGEST_FIELD: Final = 100
LONGEST_REFUSAL: Final = 1_000


class JobError(Exception):
    """Base of all ways in which an attempt ends without success."""


class TransientError(JobError):
    """May work later. `retry_after`, if the main API sent it, is the minimum wait."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VersionConflict(TransientError):
    """The entity changed between our read and our write; nothing was written."""


class TooManyRequests(TransientError):
    """The main API limits the rate of requests and did nothing with this one."""


class OutcomeUnknown(TransientError):
    """A mutation was sent but may or may not have been carried out.

    `may_resend` says whether it is safe to send again.
    """

    def __init__(self, message: str, *, may_resend: bool = True, retry_after: timedelta | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.may_resend = may_resend


class LostBeforeSending(TransientError):
    """The worker was lost before it sent the request that must not be sent twice, so nothing was done."""


class NotBegun(JobError):
    """The attempt was claimed with others, or ahead of a free thread, and did not begin in time."""


class PermanentError(JobError):
    """Can never work, so it is not retried."""


class TooLarge(PermanentError):
    """The request, or its response, is larger than the main API or the scheduler accepts."""


class TooComplex(TooLarge):
    """The request has more fields than the main API accepts in one."""


class Stopped(PermanentError):
    """An operator stopped the running attempt. If `sent`, its work may have been done, or may still be done."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class NotFound(PermanentError):
    """The main API does not have the entity."""


class NotServed(PermanentError):
    """The main API does not have a query that its contract does not promise."""

    def __init__(self, query: str) -> None:
        super().__init__(f"the main API does not serve {query}")


class Inactive(PermanentError):
    """The main API refuses to execute an effect because it is inactive."""


class Forbidden(PermanentError):
    """The main API forbids one object while it allows others of the same request, so our credential is valid."""


class NotAuthorized(PermanentError):
    """The main API rejects API_SERVICE_ACCOUNT_TOKEN."""


class MustWait(JobError):
    """No request may be sent to the main API before `until` (aware, wall-clock); this one was not."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class CircuitOpen(MustWait):
    """The circuit breaker blocks calls to the main API; it may close at `until`."""

    def __init__(self, until: datetime) -> None:
        super().__init__("circuit breaker open", until)


class NoPermit(MustWait):
    """The request found no room within the main API's limits in time."""


class AwaitsAnswer(MustWait):
    """An operator is asked whether to go on. At `until` the default counts as the answer."""


class Outage(JobError):
    """Our own database or Redis failed while the handler ran; the job is not to blame."""


class Skip(JobError):
    """There is nothing left to do; the message says why."""


class Refused(Exception):
    """The service rejected a request; nothing was changed."""


class InvalidJob(Refused):
    """A field of the job is missing or invalid. `field` is its name as the caller wrote it, cut if it is too long."""

    def __init__(self, field: str, message: str) -> None:
        self.field = line(field, LONGEST_FIELD)
        super().__init__(f"{self.field}: {line(message, LONGEST_REFUSAL)}")


class InvalidPause(Refused):
    """A field of the pause is missing or invalid. `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidLimit(Refused):
    """A limit of requests to the main API is out of range. `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidSetting(Refused):
    """A setting of a job type is missing or out of range. `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidWorldClock(Refused):
    """A setting of a world clock is invalid. `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class InvalidPolicy(Refused):
    """A field of a policy for events is missing or invalid. `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class InvalidForecast(Refused):
    """A parameter of a forecast is invalid. `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class StateConflict(Refused):
    """The job is not, or no longer, in a state that allows the move."""
