"""A database with something of every kind, for tests that look at all pages."""

import re
import socket
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.db.models import CharField, JSONField, TextField
from django.test import Client
from django.utils import timezone
from redis import Redis

from jobs import calendars, control, failures, main_api_check, main_api_limits, pauses, service, type_settings
from jobs.histogram import COLUMNS
from jobs.main_api.limits import Limits
from jobs.models import (
    CronFiring,
    CronTask,
    EventQuestion,
    FailureGroup,
    FiringOutcome,
    Job,
    JobAction,
    OutcomeMinute,
    TriggerStep,
)
from jobs.overrides import Overrides
from jobs.processes.heartbeat import Heartbeat
from jobs.registry import all_types
from jobs.service import Submission
from jobs.states import State, StepState
from jobs.triggers import questions
from jobs.world.calendars.examples import EXAMPLES, LANTERN
from monitoring.alerting.channels import CHANNELS
from monitoring.models import Alert, AlertHandler, Delivery, Kind, MonitorState, Severity
from ops import undo
from tests.support import world_clocks
from tests.support.actions import confirm
from tests.support.advancing import CAMPAIGN, recalculate
from tests.support.campaigns import campaign, growth
from tests.support.dead_letters import make_dead_letters
from tests.support.dialects import let_time_move
from tests.support.effects import claim, effect_job
from tests.support.events import AT, set_policy
from tests.support.heartbeats import lose
from tests.support.servers import SandboxApi
from tests.support.stops import submit_at
from tests.support.working import submit_failing, work

REASON: Final = "Zwergenaufstand"  #: of people
#: Columns with values of the program: pages show their names in the reader's language, never the values.
_NO_DATA: Final = frozenset({"verb", "state", "was", "now", "outcome", "clock", "action", "kind", "level", "codename"})
_NO_ROWS: Final = frozenset(
    {"auth.permission", "auth.group", "contenttypes.contenttype", "sessions.session", "jobs.mainapicheck"}
)


def fill(olga: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """Make it in this process, and by the browser of an administrator."""
    User.objects.create_user("ann", is_staff=True)
    _world(redis, sandbox)
    _jobs(olga, redis)
    _alerts()
    _questions()
    main_api_check.store(main_api_check.run(actor="monitor"))
    _orders()
    _processes(redis)


def _world(redis: Redis, sandbox: SandboxApi) -> None:
    """Two campaigns, one with an advance of world time that a what-if had predicted, and a calendar."""
    let_time_move(sandbox)
    recalculate(redis)
    payload = {"byMinutes": 480, "cause": "rest-7"}
    rest = Submission(type="ADVANCE_WORLD_TIME", campaign_id=CAMPAIGN, payload=payload)
    service.submit(rest, actor="user:ann", reason=REASON)
    work(redis)
    calendars.set_own(CAMPAIGN, LANTERN, actor="user:ann", reason=REASON)
    submit_at("1001-06-03T13:00:00.000Z")
    campaign()
    growth(timedelta(hours=2))
    growth(timedelta(hours=-2), entity="s-2", name="Ravensport")
    world_clocks.start_running(CAMPAIGN, rate=Decimal(2))
    world_clocks.start_running("c-2")
    world_clocks.control.pause("c-2", actor="user:ann", reason=REASON)
    set_policy("trigger", "c-1", "story")


def _jobs(olga: Client, redis: Redis) -> None:
    """In every state, and what people did to them."""
    submit_failing(2)
    work(redis)
    make_dead_letters(3, campaigns=("c-1", ""), unknown=True)
    group = FailureGroup.objects.order_by("pk")[0]
    failures.note(group, REASON, actor="user:olga")
    failures.acknowledge(group, actor="user:olga")
    later = timezone.now() + timedelta(minutes=40)
    work_later = [
        Submission(type=name, campaign_id="c-1", payload={}, subject=str(n), due_at=later)
        for n, name in enumerate(("EVENT_EXPIRATION", "RECALCULATE_SETTLEMENT_SCHEDULES"))
    ]
    kept, cancelled = (job for job, _ in service.submit_many(work_later, actor="token:game"))
    confirm(olga, "run_now", [kept])
    confirm(olga, "retry", list(Job.objects.filter(state="DEAD")[:1]), reason=REASON)
    confirm(olga, "cancel", [cancelled], reason=REASON)
    undo.take_back(JobAction.objects.latest("pk"), actor="user:ann")
    claim(effect_job())
    task = CronTask.objects.order_by("pk")[0]
    now = timezone.now()
    for n, became in enumerate(FiringOutcome.values):
        CronFiring.objects.create(task=task, due_at=now - timedelta(hours=n), outcome=became, missed=n)
    for ago, outcome in enumerate(("SUCCEEDED", "SKIPPED", "RETRYING", "DEAD")):
        at = now.replace(second=0, microsecond=0) - timedelta(minutes=ago + 2)
        row: dict[str, Any] = {"type": "SETTLEMENT_GROWTH", "outcome": outcome, "shard": 31, COLUMNS[2]: 10}
        OutcomeMinute.objects.create(minute=at, jobs=10, run_ms=90, run_ms_max=40, wait_ms=9, wait_ms_max=2, **row)


def _orders() -> None:
    """What operators hold and set."""
    until = timezone.now() + timedelta(minutes=40)
    pauses.pause("type", "STRUCTURE_MAINTENANCE", until=until, actor="user:olga", reason=REASON)
    pauses.pause("campaign", "c-1", actor="user:olga", reason=REASON)
    pauses.pause("queue", "low", actor="user:olga", reason=REASON)
    pauses.resume("queue", "low", actor="user:ann", reason=REASON)
    main_api_limits.set_limits(Limits(20, 50), actor="user:ann", reason=REASON)
    type_settings.set_overrides("SETTLEMENT_GROWTH", Overrides(concurrency=20), actor="user:olga", reason=REASON)
    control.set_breaker("open", actor="user:olga", reason=REASON)


def _alerts() -> None:
    MonitorState.objects.create()
    now = timezone.now()
    handlers = [AlertHandler.objects.create(name=f"{name}-1", kind=name) for name in CHANNELS]
    job = Job.objects.filter(state="DEAD")[0]
    details = {"jobs": [str(job.pk)], "campaigns": {"c-1": 2}}
    for n, kind in enumerate(Kind.values):
        alert = Alert.objects.create(
            kind=kind,
            key=kind,
            severity=Severity.values[n % 3],
            title=f"{REASON} {n}",
            message=REASON,
            count=n + 1,
            job_type="EVENT_EXPIRATION",
            details={} if kind == Kind.CODE else details,
            acknowledged_at=now if n % 3 == 1 else None,
            acknowledged_by="user:olga" if n % 3 == 1 else "",
            resolved_at=now if n % 3 == 2 else None,
            resolved_by="user:ann" if n % 3 == 2 else "",
        )
        handler = handlers[n % len(handlers)]
        Delivery.objects.create(
            alert=alert,
            target=f"handler:{handler.pk}",
            handler=handler,
            handler_name=handler.name,
            handler_kind=handler.kind,
            action=("trigger", "resolve", "test")[n % 3],
            message={"count": n + 1},
            status=Delivery.Status.values[n % 3],
            answer=REASON,
        )


def _questions() -> None:
    """One open, one answered, and what two jobs have sent of their events."""
    deadline = timezone.now() + timedelta(hours=1)
    for n in range(2):
        payload = {"eventId": f"event-1-{n + 3}", "scheduledAt": AT, "byPolicy": True}
        job, _ = service.submit(Submission(type="TRIGGER_EVENT", campaign_id=CAMPAIGN, payload=payload), actor="test")
        EventQuestion.objects.create(
            job_id=job.pk,
            campaign_id=CAMPAIGN,
            event_id=f"event-1-{n + 3}",
            event_name=f"{REASON} {n}",
            event_type="story",
            scheduled_at=AT,
            deadline=deadline,
            default_answer=bool(n),
        )
        for position, state in enumerate(StepState):
            TriggerStep.objects.create(
                job_id=job.pk,
                position=position,
                operation="executeEffect",
                effect_id=f"effect-{position}",
                name=f"{REASON} {position}",
                timing="PRE",
                state=state.value,
            )
    questions.answer(job.pk, yes=True, actor="user:olga", reason=REASON)


def _processes(redis: Redis) -> None:
    Heartbeat("worker", "w-1", redis).beat("busy", in_flight=3, concurrency=5)
    Heartbeat("scheduler", "s-1", redis).beat("active")
    Heartbeat("scheduler", "s-2", redis).beat("standby")
    lose(redis, "monitor", timezone.now() - timedelta(minutes=3))


def stored_texts(sandbox: SandboxApi) -> re.Pattern[str]:
    """What machines and people wrote: the texts of the database and of the main API, types, IDs and times."""
    texts = {text for text in _texts() if re.search(r"[A-Za-z]{2}", text)}
    texts |= {text[0].upper() + text[1:] for text in texts}  # as a title has it
    texts |= {*settings.RQ_QUEUES, socket.gethostname(), *Group.objects.values_list("name", flat=True)}
    texts |= {*Permission.objects.values_list("name", flat=True), *State}
    texts |= {"operator action", "type settings"}  # tables that only the choice of permissions names
    report = main_api_check.last().report
    texts |= (
        {
            report.url,
            report.process,
            *(point.sentence for point in report.points),
            *(point.what for point in report.points),
        }
        if report
        else set()
    )
    for calendar in EXAMPLES.values():
        texts |= {calendar.name, *calendar.weekdays, *(month.name for month in calendar.months)}
    for kind in sandbox.world().values():
        texts |= {str(one["name"]) for one in (kind.values() if isinstance(kind, dict) else []) if "name" in one}
    known = sorted({*texts, *all_types()}, key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, known))}|{_SHAPES})(?!\w)", re.VERBOSE)


_SHAPES: Final = r"""
[0-9a-f]{8}-[0-9a-f-]{27} | \d{4}-\d\d-\d\d[T\ ][\d:.]+\ ?(Z|UTC|[+-]\d\d:?\d\d)? | (\d\d:\d\d(:\d\d)?\ )?UTC |
true | false | [a-z]+[A-Z]\w+ | ([A-Z]+|-)\ →\ [A-Z]+ |  # JSON, and its names; a move as its record has it
Connected\ \(latency:\ \d+ms\) | https?://\S* | PagerDuty |  # as /health has it; addresses and brands
(Group-permission|User-group)\ relationships? | (Group_permissions|User_groups)\ object\ \(\d+\) | Axes  # of packages
"""


def _texts() -> Iterator[str]:
    for model in apps.get_models():
        if model._meta.label_lower in _NO_ROWS or not model._meta.managed:
            continue
        for field in model._meta.fields:
            if (
                isinstance(field, CharField | TextField | JSONField)
                and not field.choices
                and field.name not in _NO_DATA
            ):
                for value in model._base_manager.values_list(field.name, flat=True):
                    yield from _strings(value, keys=model is Job)


def _strings(value: Any, *, keys: bool) -> Iterator[str]:
    """Those in a value that may be JSON, of a job with its keys, which are the main API's."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from [str(key)] if keys else []
            yield from _strings(item, keys=keys)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, keys=keys)
