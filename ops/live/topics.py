"""What pages about jobs follow. Each read is one look at the end of an index or at one key, however much there is."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db.models import QuerySet

from jobs import control
from jobs.broker import depths, keys
from jobs.models import AuditEntry, CronFiring, Job, OperatorAction
from jobs.triggers import questions
from ops.live.hub import Hub, Names, Topic
from ops.reads.active_orders import find_active_orders
from ops.reads.verdict import find_verdict
from scheduler_project.text import is_job_id

NEWEST: Final = 200  #: rows among which one that is committed late is noticed
MOST_QUESTIONS: Final = 100  #: the badge stops counting here


def add_all(hub: Hub) -> None:
    """Offer the topics of jobs and of what runs them."""
    topics: dict[str, Callable[[], Any]] = {
        "moves": lambda: read_newest(AuditEntry.objects.all()),
        "actions": lambda: read_newest(OperatorAction.objects.all()),
        "firings": lambda: read_newest(CronFiring.objects.all()),
        "orders": _read_orders,
        "verdict": find_verdict,
        "questions": lambda: questions.count_open(MOST_QUESTIONS),
        "queues": lambda: depths.read(keys.redis()),
        "processes": control.processes,
    }
    for kind, read in topics.items():
        hub.add(kind, _one(read))
    hub.add("job", Topic(read=read_jobs, is_allowed=may_see_jobs, is_name=is_job_id))


def _one(read: Callable[[], Any]) -> Topic:
    """A topic without names."""
    return Topic(read=lambda _names: {"": read()}, is_allowed=may_see_jobs)


def may_see_jobs(user: Any) -> bool:
    return bool(user.has_perm("jobs.view_job"))


def read_jobs(names: Names) -> Mapping[str, Any]:
    """What changes with each move of a job; one query for all that are watched."""
    rows = Job.objects.filter(pk__in=names).order_by()
    return {str(pk): rest for pk, *rest in rows.values_list("pk", "state", "attempt", "moved_at", "due_at")}


def _read_orders() -> Any:
    orders = find_active_orders()
    return [(pause.pk, pause.until) for pause in orders.pauses], orders.forced, orders.suspended


def read_newest(rows: QuerySet[Any]) -> tuple[int, ...]:
    """The numbers of the newest rows; rows are only added, one for each thing that happened.

    Not the last alone: on PostgreSQL a row may be committed after one with a higher number.
    """
    return tuple(rows.order_by("-pk").values_list("pk", flat=True)[:NEWEST])
