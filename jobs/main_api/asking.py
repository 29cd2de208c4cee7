"""One request on its way: past the breaker, through the gate, and what its end says about the main API."""

import time
from types import TracebackType

from jobs.errors import JobError, MustWait, NotAuthorized
from jobs.main_api.answers import Answer, Fault
from jobs.main_api.breaker import Breaker
from jobs.main_api.gate import Admitted
from jobs.sending import Sending


class Asking:
    """As a context manager it tells the breaker how the request ended, and turns a Fault into its error."""

    def __init__(self, breaker: Breaker, once: Sending | None) -> None:
        """Raises CircuitOpen."""
        self.is_probe = breaker.before_call()
        self.began = time.perf_counter()
        self.result = "error"  #: empty if nothing was sent, because it must wait
        self._breaker = breaker
        self._once = once

    def begin(self, entry: Admitted) -> None:
        """Called right before sending. Raises CircuitOpen, and whatever `once` raises."""
        self.began = time.perf_counter()
        if entry.has_waited and not self.is_probe:
            self.is_probe = self._breaker.before_call()  # it may have opened meanwhile
        if self._once:
            self._once.begin()

    def end(self, answer: Answer) -> Answer:
        """Note the answer."""
        self.result = (answer.errors[0].code or "error") if answer.errors else "ok"
        return answer

    def __enter__(self) -> "Asking":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        match error:
            case Fault():
                self.result = "fault"
                self._breaker.record_fault(error.error, probe=self.is_probe)
                raise error.error from error
            case MustWait():
                self.result = ""
                self._breaker.record_unsent(probe=self.is_probe)
            case None | JobError():
                self.result = "refused" if isinstance(error, NotAuthorized) else self.result
                self._breaker.record_success(probe=self.is_probe)
            case _:  # a bug of ours says nothing about the main API
                self._breaker.record_unsent(probe=self.is_probe)
