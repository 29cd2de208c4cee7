"""Label values that are known before anything is counted, so that their counters are 0 from the first scrape.

`increase()` and `rate()` need two samples. For a counter that first appears at 1 they return nothing, so the first
missed run, failed delivery or dead letter of a type would raise no alert.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

from jobs.errors import NotAuthorized
from jobs.main_api import operations
from jobs.main_api.errors import ERROR_OF_CODE
from jobs.models import CronTask
from jobs.registry import all_types
from jobs.states import OUTCOMES
from jobs.waits import Wait
from monitoring.alerting.channels import CHANNELS

Labels = tuple[str, ...]
_REFUSALS: Final = tuple(code for code, error in ERROR_OF_CODE.items() if issubclass(error, NotAuthorized))
_RESULTS: Final = ("ok", "fault", "error", "refused", *_REFUSALS)


def of_jobs() -> Iterator[Labels]:
    """Yield the labels of scheduler_jobs_total: type and outcome."""
    return product(sorted(all_types()), OUTCOMES)


def of_waits() -> Iterator[Labels]:
    """Yield the labels of scheduler_job_waits_total: type and reason."""
    return product(sorted(all_types()), tuple(wait.value for wait in Wait))


def of_hand_backs() -> Iterator[Labels]:
    """Yield the labels of scheduler_jobs_handed_back_total: the type."""
    return product(sorted(all_types()))


def of_counters() -> Iterator[Labels]:
    """Yield the counters of jobs/counters.py: each its name there, then its labels."""
    yield from product(("api_requests",), operations.names(), _RESULTS)
    yield from product(("api_waits", "api_waited_seconds"), ("sent", "given_up"))
    yield from product(("api_halvings",), ("latency", "413", "429"))
    yield from product(("cache_reads",), ("hit", "miss"))
    yield from product(("breaker_moves",), ("closed", "half-open", "open"))
    yield from product(("listener_messages",), ("entityModified", "worldTimeAdvanced"))
    yield ("listener_subscriptions",)
    yield ("listener_echoes",)
    yield ("listener_polled_advances",)
    yield ("world_clock_steps",)
    yield ("world_clock_seconds",)
    yield from product(("foreign_rq_jobs",), ("refused", "run"))
    yield from product(("listener_catch_ups",), ("done", "failed"))
    yield from product(
        ("unusable_texts",), ("campaign", "currentWorldTime", "Kingdom", "Settlement", "Structure", "message")
    )
    yield from product(("alert_deliveries",), (*CHANNELS, "code"), ("sent", "retried", "failed"))


def of_cron_tasks() -> Iterator[Labels]:
    """Yield the counters of cron tasks, whose names are in the database."""
    tasks = CronTask.objects.order_by("name").values_list("name", flat=True)
    return product(("cron_firings",), tasks, ("on_time", "late", "missed"))
