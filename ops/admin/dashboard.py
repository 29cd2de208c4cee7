"""The dashboard. Each number links to the list that it counts; query cost does not grow with the number of jobs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Concat, StrIndex, Substr
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from redis import RedisError

from jobs.broker import depths, keys
from jobs.histogram import OBJECTIVE_MS
from jobs.main_api.breaker import Snapshot
from jobs.main_api.client import main_api
from jobs.main_api.recent_calls import RecentError
from jobs.models import CampaignClock, CronTask, FailureHour, Job, ScheduleRow
from jobs.state_counts import count_retrying, count_states
from jobs.states import ENDED, Priority, State
from ops.admin.tiles import grey_out, in_address, make_tiles
from ops.humanize import limited_count, milliseconds
from ops.labels import STATES
from ops.reads import recent_actions, verdict
from ops.reads.audit_trail import HANDED_BACK, RETRIED, WAITED
from ops.reads.job import TONES, name_all
from ops.reads.outcomes import DEFAULT, RANGES, OutcomePeriod, Range, read_periods, sum_up
from ops.reads.status import find_components
from scheduler_project.snapshot import snapshot

SHOWN: Final = 8  #: rows of a panel
OUTCOMES: Final = (State.SUCCEEDED, State.SKIPPED, State.RETRYING, State.DEAD, State.QUEUED)
ERRORS: Final = 4
MOVING: Final = 100  #: jobs that may move between a read of the database and one of Redis
_RUNNING_LOOKED_AT: Final = 500


@dataclass(frozen=True, slots=True)
class QueueRow:
    priority: Priority
    depth: int  #: all that wait
    held_back: int  #: of those, what pauses hold back
    oldest_due: datetime | None  #: of the job that is taken next, or of the first that a pause holds back


@dataclass(frozen=True, slots=True)
class BreakerTile:
    """The breaker towards the main API."""

    seen: Snapshot
    errors: list[tuple[RecentError, int]]  #: the latest of each text, and how often it occurred


def read_queues() -> list[QueueRow]:
    """The queues, most urgent first. Raises redis.RedisError."""
    found = depths.read(keys.redis())
    due = depths.due_times(found.values())
    shown = []
    for priority in reversed(Priority):
        depth = found[priority.queue]
        firsts = [due[pk] for pk in (depth.head, *depth.parked) if pk in due]
        shown.append(QueueRow(priority, depth.waiting, depth.held_back, min(firsts, default=None)))
    return shown


def count_absent(queued: int, queues: Sequence[QueueRow]) -> int:
    """QUEUED jobs that Redis does not carry, until the scheduler puts them back; a few may have moved meanwhile."""
    absent = queued - sum(queue.depth for queue in queues)
    return absent if absent > MOVING else 0


def find_longest_running() -> list[Job]:
    """The names of their entities and campaigns come from the same query."""
    subject = OuterRef("subject")
    about = Substr(subject, 1, StrIndex(Concat(subject, Value(":")), Value(":")) - 1)
    entity = ScheduleRow.objects.filter(entity_id=about).values("entity_name")[:1]
    campaign = CampaignClock.objects.filter(pk=OuterRef("campaign_id")).values("name")
    newest = Job.objects.in_state(State.RUNNING).order_by("lease_until").values("pk")[:_RUNNING_LOOKED_AT]
    rows: Any = Job.objects.filter(pk__in=Subquery(newest)).defer("traceback")
    rows = rows.annotate(about_name=Subquery(entity), clock_name=Subquery(campaign))
    longest = list(rows.order_by(Coalesce("started_at", "moved_at"))[:SHOWN])
    entities = {job.subject.partition(":")[0]: job.about_name or "" for job in longest}
    name_all(longest, {job.campaign_id: job.clock_name or "" for job in longest}, entities)
    return longest


def read_breaker() -> BreakerTile:
    """Raises redis.RedisError."""
    seen = main_api().breaker.snapshot()
    faults = main_api().breaker.recent_errors()
    newest: dict[str, RecentError] = {}
    for fault in faults:
        newest.setdefault(fault.error, fault)
    times = Counter(fault.error for fault in faults)
    return BreakerTile(seen, [(fault, times[error]) for error, fault in newest.items()][:ERRORS])


def count_failures(since: datetime) -> list[dict[str, Any]]:
    """The failures with most new dead letters since a full hour."""
    hours = FailureHour.objects.filter(hour__gte=since).values("group_id", "group__error", "group__message")
    return [dict(row) for row in hours.annotate(n=Sum("jobs")).order_by("-n")[:SHOWN]]


def find_next_firings() -> list[CronTask]:
    return list(CronTask.objects.filter(enabled=True, next_fire_at__isnull=False).order_by("next_fire_at")[:SHOWN])


def make_chart(periods: Sequence[OutcomePeriod], wanted: Range) -> dict[str, Any]:
    """The data of the charts, for each step."""
    minutes = wanted.step / timedelta(minutes=1)
    drawn = [o for o in OUTCOMES if o is not State.QUEUED or any(s.outcomes[o] for s in periods)]
    counts = [(str(STATES[o]), TONES[o][1], [s.outcomes[o] for s in periods]) for o in drawn]
    if any(s.waits for s in periods):
        counts.append((gettext("had to wait"), "busy", [s.waits.total() for s in periods]))
    if any(s.handed_back for s in periods):
        counts.append((gettext("handed back"), "calm", [s.handed_back for s in periods]))
    return {
        "at": [int(s.at.timestamp() * 1000) for s in periods],
        "outcomes": [
            {"name": name, "tone": tone, "values": [round(n / minutes, 2) for n in values]}
            for name, tone, values in counts
        ],
        "p50": [_round(s.p50_ms) for s in periods],
        "p95": [_round(s.p95_ms) for s in periods],
        "max": [_round(s.max_ms) for s in periods],
        "objective": OBJECTIVE_MS,
        "run": [_round(s.run_mean_ms) for s in periods],
        "runMax": [_round(s.run_ms_max if s.jobs else None) for s in periods],
    }


def make_table(periods: Sequence[OutcomePeriod], step: timedelta) -> list[dict[str, Any]]:
    """The charts' data as rows, newest first, without empty steps."""
    jobs, moves = reverse("admin:jobs_job_changelist"), reverse("admin:jobs_auditentry_changelist")
    return [_make_row(s, step, jobs, moves) for s in reversed(periods) if s.jobs or s.waits or s.handed_back]


def _make_row(period: OutcomePeriod, step: timedelta, jobs: str, moves: str) -> dict[str, Any]:
    """Each count with the list of jobs that ended so within the step; of what does not end a job, of moves."""
    since, until = in_address(period.at), in_address(period.at + step)
    ended = urlencode({"finished_at_from": since, "finished_at_to": until})
    moved = urlencode({"scope": "all", "since": since, "until": until})
    retried, waited, handed_back = (
        f"{moves}?{moved}&{urlencode({'what': what})}" for what in (RETRIED, WAITED, HANDED_BACK)
    )
    links = (f"{jobs}?state={o.value}&{ended}" if o in ENDED else retried for o in OUTCOMES[:4])
    times = (period.p50_ms, period.p95_ms, period.max_ms, period.run_mean_ms, period.run_ms_max)
    return {
        "at": period.at,
        "counts": [
            *((period.outcomes[o], link) for o, link in zip(OUTCOMES[:4], links, strict=True)),
            (period.waits.total(), waited),
            (period.handed_back, handed_back),
        ],
        "times": [milliseconds(length) for length in times],
    }


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK. For live.js the page is rendered without its frame."""
    wanted = RANGES.get(request.GET.get("range", DEFAULT), RANGES[DEFAULT])
    context |= {
        "title": gettext("Dashboard"),
        "page": "ops/fragment.html" if request.headers.get("X-Live") else "admin/base_site.html",
        "ranges": RANGES.values(),
        "range": wanted,
    }
    user = request.user
    if not user.has_perm("jobs.view_job"):
        return context
    now, components = timezone.now(), find_components()
    with snapshot():
        firings = find_next_firings()
        context |= {
            "now": now,
            "may_see": True,
            "components": components,
            "incidents": verdict.find_incidents(),
            "verdict": verdict.judge(components, verdict.find_overdue(now, firings)),
            **_read_database(wanted, now),
        }
    context |= _read_redis()
    if "queues" in context:
        context["absent"] = count_absent(context["queued"], context["queues"])
    if user.has_perm("jobs.view_crontask"):
        context["firings"] = firings
    if user.has_perm("jobs.view_auditentry"):
        context["recent_actions"] = recent_actions.find_latest(SHOWN)
    return context


def _read_database(wanted: Range, now: datetime) -> dict[str, Any]:
    """Six queries."""
    periods = read_periods(wanted, now)
    sums, counts, retrying = sum_up(periods), count_states(), count_retrying()
    tiles = make_tiles(sums, counts, retrying, wanted)
    grey_out(tiles, periods, wanted, now)
    since = (now - wanted.length).replace(minute=0, second=0, microsecond=0)
    return {
        "tiles": tiles,
        "queued": counts[State.QUEUED],
        "retrying": retrying,
        "sums": sums,
        "chart": make_chart(periods, wanted),
        "rows": make_table(periods, wanted.step),
        "outcomes": [*(str(STATES[o]) for o in OUTCOMES[:4]), gettext("had to wait"), gettext("handed back")],
        "dead": counts[State.DEAD],
        "dead_count": limited_count(counts[State.DEAD]),
        "running": find_longest_running(),
        "running_count": limited_count(counts[State.RUNNING]),
        "failures": count_failures(since),
        "failures_since": since,
    }


def _read_redis() -> dict[str, Any]:
    """Queues and breaker, or the fault if Redis is down."""
    try:
        return {"queues": read_queues(), "breaker": read_breaker()}
    except RedisError as error:
        return {
            "redis_fault": gettext("Redis does not answer: %(error)s. Jobs wait, nothing is lost.")
            % {"error": type(error).__name__}
        }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
