"""The jobs application."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class JobsConfig(AppConfig):
    """Jobs: what there is to do and how it gets done."""

    name = "jobs"
    verbose_name = "Campaign scheduler"

    def ready(self) -> None:
        """Seed the cron table and the groups once their tables are there."""
        post_migrate.connect(_seed, sender=self)


def _seed(sender: JobsConfig, **_: Any) -> None:
    from jobs import cron, people

    cron.seed()
    people.establish(sender)
