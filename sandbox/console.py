"""What `make up` prints: warnings and errors, a line every ten seconds, and the address once all is up."""

import json
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from honcho.printer import Message, Printer

from jobs.states import State

STATUS_EVERY_S: Final = 10.0
HEALTHY_WITHIN_S: Final = 120.0
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_LEVEL: Final = re.compile(r"\[(info|debug) *\]")  # as structlog writes it
_MOVED: Final = re.compile(r"\bjob\.moved\b.*\bnow=(\w+)")
_USUAL: Final = re.compile(r"\w+ started \(pid=\d+\)$")


class Output(Printer):
    """honcho's printer, but stops everything when its output is closed, as by `make up | head`."""

    def write(self, message: Message) -> None:
        try:
            super().write(message)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.output.fileno())
            signal.raise_signal(signal.SIGTERM)


class Quiet(Output):
    """Leaves out the usual lines, and prints every ten seconds how many jobs have ended."""

    def __init__(self, *args: Any, clock: Callable[[], float] = time.monotonic, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock
        self._said_at = clock()
        self._ended: Counter[str] = Counter()

    def write(self, message: Message) -> None:
        data = message.data
        text = data.decode(errors="replace") if isinstance(data, bytes) else str(data)
        self._ended.update(_MOVED.findall(_COLOURS.sub("", text)))
        kept = [line for line in text.splitlines() if self._is_shown(_COLOURS.sub("", line))]
        if kept:
            super().write(message._replace(data="\n".join(kept)))
        if self._clock() - self._said_at >= STATUS_EVERY_S:
            self._said_at = self._clock()
            super().write(message._replace(name="up", data=self._status(), colour=None))

    def _is_shown(self, line: str) -> bool:
        return not (_LEVEL.search(line) or _USUAL.match(line))

    def _status(self) -> str:
        done = self._ended[State.SUCCEEDED] + self._ended[State.SKIPPED]
        dead = self._ended[State.DEAD]
        letters = f"{dead:,} dead letter{'' if dead == 1 else 's'}"
        return f"{done:,} job{'' if done == 1 else 's'} done, {letters} (every log line: make up LOGS=1)"


def announce_when_healthy(port: int, login: str) -> None:
    """Print the login once every component is healthy, or what is not after HEALTHY_WITHIN_S; in a thread."""
    threading.Thread(target=_announce, args=[port, login], name="announce", daemon=True).start()


def _announce(port: int, login: str) -> None:
    until, found = time.monotonic() + HEALTHY_WITHIN_S, "no answer"
    while time.monotonic() < until:
        found = _health(port)
        if found == "healthy":
            break
        time.sleep(0.5)
    print(f"All is up. {login}" if found == "healthy" else f"Not all is up: {found}. {login}", flush=True)
    sys.stdout.flush()


def _health(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return str(json.load(answer)["status"])
    except urllib.error.HTTPError as error:
        return f"/health answers HTTP {error.code}"
    except (OSError, ValueError, KeyError) as error:
        return type(error).__name__
