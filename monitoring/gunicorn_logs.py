"""gunicorn's log lines in the service's format, from the first line on."""

import logging
import os
from typing import Any

from gunicorn.glogging import Logger


class GunicornLogs(Logger):
    """Passes every record to the root logger, which Django's settings configure."""

    def setup(self, cfg: Any) -> None:
        """Set levels as gunicorn does, but install no handlers."""
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_project.settings")
        from django.conf import settings  # after the line above

        _ = settings.LOG_LEVEL  # the first access loads the settings, which configures logging
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        for logger in (self.error_log, self.access_log):
            logger.handlers = []
            logger.propagate = True
        self.error_log.setLevel(self.loglevel)
        # One line per request, if an access log is configured.
        self.access_log.setLevel(logging.INFO if cfg.accesslog else logging.CRITICAL + 1)
