from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy

from scheduler_project.database import lift_timeouts, restore_timeouts


class JobsConfig(AppConfig):
    """Jobs, and how they get done."""

    name = "jobs"
    verbose_name = gettext_lazy("Campaign scheduler")

    def ready(self) -> None:
        """Guard RQ, and seed the cron table and the groups once their tables are there."""
        from jobs.broker import rq_connections, rq_guard  # they import models, which are not loaded earlier
        from scheduler_project import read_only

        read_only.install()
        rq_guard.install()
        rq_connections.install()
        checks.register(_foreign_functions, "jobs")
        pre_migrate.connect(_lift_timeouts, sender=self)
        post_migrate.connect(_restore_timeouts, sender=self)
        post_migrate.connect(_seed, sender=self)


def _lift_timeouts(*, using: str, **_: Any) -> None:
    lift_timeouts(connections[using])


def _restore_timeouts(*, using: str, **_: Any) -> None:
    restore_timeouts(connections[using])


def _seed(sender: JobsConfig, **_: Any) -> None:
    from jobs import permissions  # models are not loaded when Django imports this module
    from jobs.cron import firing

    firing.seed()
    permissions.create_groups(sender)


def _foreign_functions(**_: Any) -> list[checks.CheckMessage]:
    """Check before a worker starts that the functions that plain RQ jobs may call exist."""
    from rq.utils import import_attribute  # RQ is first imported in ready(), where it is guarded

    faults: list[checks.CheckMessage] = []
    for name in sorted(settings.RUN_FOREIGN_RQ_FUNCTIONS):
        try:
            found = callable(import_attribute(name))
        except (ImportError, AttributeError, ValueError):
            found = False
        if not found:
            faults.append(checks.Error(f"RUN_FOREIGN_RQ_FUNCTIONS: there is no function {name}", id="jobs.E001"))
    return faults
