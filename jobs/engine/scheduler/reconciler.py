"""The reconciler: keeps Redis in step with the database; polled by the active scheduler only."""

from collections.abc import Callable

from django.utils import timezone
from redis import Redis

from jobs import main_api_limits, pauses, type_settings
from jobs.broker.mend import mend
from jobs.engine.scheduler.purge import Purge
from jobs.engine.scheduler.rescuer import EVERY_SECONDS, Rescuer
from jobs.engine.scheduler.retention import Retention
from jobs.engine.scheduler.stager import ROUND_SECONDS, Stager
from jobs.engine.scheduler.sweep import Sweep


class Reconciler:
    """Runs limits, settings, pauses, staging, rescue, the sweep and retention in turn."""

    def __init__(self, connection: Redis, purge: Purge | None = None) -> None:
        self._connection = connection
        self._stager = Stager(connection)
        self._rescuer = Rescuer(connection)
        self._sweep = Sweep(connection)
        self._retention = Retention(connection, purge)

    def poll(self, meanwhile: Callable[[], object] = lambda: None) -> float:
        """Run one round. Returns the seconds until the next. Raises redis.RedisError and database errors.

        Calls `meanwhile` between its parts: a round takes ten milliseconds, and due jobs need not wait for all of it.
        """
        now = timezone.now()
        mend(self._connection)
        main_api_limits.sync(self._connection)  # before the pauses: without those workers fetch nothing
        meanwhile()
        type_settings.sync(self._connection)
        pauses.sync(self._connection)
        meanwhile()
        staging = self._stager.poll(now)  # while staging, rounds are long and follow each other at once
        meanwhile()
        self._rescuer.poll(now)
        meanwhile()
        swept = self._sweep.poll(now, for_s=ROUND_SECONDS / 2 if staging else 0.0)
        meanwhile()
        self._retention.poll(now)
        return 0.0 if staging or not swept else EVERY_SECONDS
