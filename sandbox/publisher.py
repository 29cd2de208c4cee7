"""Publishes the main API's messages in a thread, so that no request waits for Redis."""

import json
import logging
import threading
from queue import SimpleQueue
from typing import Any

from redis import Redis, RedisError

log = logging.getLogger("sandbox")


class Publisher:
    """Publishes to Redis. A message that cannot be published is dropped, as pub/sub would."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=5)
        self._messages: SimpleQueue[tuple[str, str]] = SimpleQueue()
        threading.Thread(target=self._run, name="publisher", daemon=True).start()

    def publish(self, channel: str, body: dict[str, Any]) -> None:
        """Queue a message."""
        self._messages.put((channel, json.dumps(body)))

    def _run(self) -> None:
        while True:
            channel, body = self._messages.get()
            try:
                self._redis.publish(channel, body)
            except RedisError as error:
                log.warning("publishing on %s failed: %s", channel, error)
