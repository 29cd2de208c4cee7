"""Somebody who uses the HTTP API, health and metrics all the while: the web process, too, must stay as it is."""

import contextlib
import threading
import urllib.request
from typing import Final

from tests.support.service import Service

EVERY_S: Final = 0.2


class Visitor:
    """A thread that submits, looks and scrapes until `stop`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End with the request that runs."""
        self._stopping.set()
        self._thread.join(timeout=60)

    def _visit(self) -> None:
        while not self._stopping.wait(EVERY_S):
            with contextlib.suppress(OSError):  # a busy machine; the soak counts memory and jobs
                job = self._service.submit("RECALCULATE_SETTLEMENT_SCHEDULES", "campaign-3", {})
                self._service.api(f"jobs/{job}")
                for page in ("health", "metrics"):
                    urllib.request.urlopen(f"{self._service.url}/{page}", timeout=30).read()
