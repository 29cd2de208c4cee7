"""gunicorn's own lines in the shape of all others, from its first on."""

import logging
import os
from typing import Any

from gunicorn.glogging import Logger


class GunicornLogs(Logger):
    """Hands everything to the root logger, which Django's settings have set up."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn's own, without handlers of its own."""
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
        from django.conf import settings

        _ = settings.LOG_LEVEL  # the first look reads them, which sets up the logs
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        for logger in (self.error_log, self.access_log):
            logger.handlers = []
            logger.propagate = True
        self.error_log.setLevel(self.loglevel)
        # It writes one line for each request where an access log is asked for.
        self.access_log.setLevel(logging.INFO if cfg.accesslog else logging.CRITICAL + 1)
