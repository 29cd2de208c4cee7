"""The exposition of /metrics/prometheus: the predecessor's metric names unchanged, ours, and django-prometheus's."""

from collections.abc import Iterable, Mapping
from platform import python_version
from typing import Final

import structlog
from redis import RedisError

from jobs import counters
from jobs.broker import keys
from jobs.main_api import traffic
from jobs.main_api.client import main_api
from jobs.outcome import NOT_BEGUN
from jobs.world_clocks import status as world_clocks
from monitoring import health, label_values, metrics
from monitoring.django_metrics import render_django_metrics
from monitoring.health import Found
from monitoring.metrics import Depths
from scheduler_project import __version__

log = structlog.get_logger(__name__)
Samples = Iterable[tuple[Mapping[str, str], float]]
Counts = Mapping[tuple[str, ...], float]

#: Counters of jobs/counters.py: name there, metric, labels, help.
COUNTERS: Final = (
    ("api_requests", "scheduler_api_requests_total", ("operation", "result"), "Requests to the main API"),
    ("api_waits", "scheduler_api_waits_total", ("result",), "Requests that waited for room: sent, or given up"),
    ("api_waited_seconds", "scheduler_api_waited_seconds_total", ("result",), "How long they waited"),
    ("api_halvings", "scheduler_api_halvings_total", ("cause",), "Halvings of a process's requests in flight"),
    ("cache_reads", "scheduler_cache_reads_total", ("result",), "Reads of the cache of the main API's answers"),
    ("breaker_moves", "scheduler_circuit_breaker_moves_total", ("to",), "Openings, probes and closings of the breaker"),
    ("listener_messages", "scheduler_listener_messages_total", ("kind",), "Messages received"),
    ("listener_polled_advances", "scheduler_listener_polled_advances_total", (), "World times that only a poll found"),
    ("listener_echoes", "scheduler_listener_echoes_total", (), "Messages of our own updates, which start nothing"),
    ("listener_subscriptions", "scheduler_listener_subscriptions_total", (), "Subscriptions, including reconnects"),
    ("listener_catch_ups", "scheduler_listener_catch_ups_total", ("result",), "Comparisons of all campaigns' clocks"),
    (
        "unusable_texts",
        "scheduler_unusable_texts_total",
        ("of",),
        "IDs and messages skipped because they cannot be stored",
    ),
    ("alert_deliveries", "scheduler_alert_deliveries_total", ("kind", "result"), "Attempts: sent, retried, failed"),
    ("foreign_rq_jobs", "scheduler_foreign_rq_jobs_total", ("outcome",), "Plain RQ jobs: run or refused"),
    ("world_clock_steps", "scheduler_world_clock_steps_total", (), "Steps of world clocks"),
    ("world_clock_seconds", "scheduler_world_clock_seconds_total", (), "World time of those steps"),
    ("cron_firings", "scheduler_cron_firings_total", ("task", "outcome"), "Firings: on_time, late (> 60 s) or missed"),
)
#: Histograms of jobs/counters.py: name there, metric, label, bounds, help.
HISTOGRAMS: Final = (
    ("job_wait_seconds", "scheduler_job_wait_seconds", "type", counters.BOUNDS, "From due to started"),
    ("job_run_seconds", "scheduler_job_run_seconds", "type", counters.BOUNDS, "Run time of an attempt"),
    ("job_attempts", "scheduler_job_attempts", "type", metrics.ATTEMPTS, "Attempts that a finished job needed"),
    ("api_request_seconds", "scheduler_api_request_seconds", "operation", counters.BOUNDS, "Time of a request"),
)


def render(found: Found) -> str:
    """Render all metrics. Those of Redis or the database are left out while it is down; health says why."""
    parts, counts = [_health(found), _process()], dict.fromkeys(label_values.of_counters(), 0.0)
    depths = metrics.queue_depths(keys.redis()) if found["redis"].status != health.DOWN else None
    if found["database"].status != health.DOWN:
        parts.append(_database(depths))
        counts |= dict.fromkeys(label_values.of_cron_tasks(), 0.0)
    if depths is not None:
        try:
            parts += [_redis(depths), _counters({**counts, **counters.read(keys.redis())})]
        except RedisError as error:
            log.warning("metrics.redis_unreachable", error=str(error), next="this scrape leaves out its metrics")
    return "".join(parts) + render_django_metrics()


def _health(found: Found) -> str:
    level = {"down": 0, "degraded": 1, "up": 2}
    overall = {"unhealthy": 0, "degraded": 1, "healthy": 2}[health.overall(found)]
    parts = [({"component": _snake(name)}, level[c.status]) for name, c in found.items()]
    return _gauge(
        "scheduler_health_status", "Overall health status (0=unhealthy, 1=degraded, 2=healthy)", overall
    ) + _family("scheduler_component_status", "gauge", "Component health status (0=down, 1=degraded, 2=up)", parts)


def _process() -> str:
    memory = [({"type": kind}, size) for kind, size in metrics.memory_bytes().items()]
    build = {"version": __version__, "python": python_version()}
    return "".join(
        (
            _family(
                "scheduler_uptime_seconds",
                "counter",
                "Scheduler service uptime in seconds",
                [({}, health.uptime_seconds())],
            ),
            _gauge(
                "process_cpu_usage_percent", "Process CPU usage percentage since the last scrape", metrics.cpu_percent()
            ),
            _family("process_memory_usage_bytes", "gauge", "Process memory usage in bytes", memory),
            _family("scheduler_build_info", "gauge", "Version of the running build", [(build, 1)]),
        )
    )


def _database(depths: Depths | None) -> str:
    n = metrics.queue_numbers(depths)
    return "".join(
        (
            _gauge("scheduler_queue_active", "Number of active jobs", n.active),
            _gauge("scheduler_queue_waiting", "Number of waiting jobs", n.waiting),
            _family("scheduler_queue_completed", "counter", "Number of completed jobs", [({}, n.completed)]),
            _family("scheduler_queue_failed", "counter", "Number of failed jobs", [({}, n.failed)]),
            _gauge("scheduler_queue_delayed", "Number of jobs due later", n.delayed),
            _gauge("scheduler_dead_letter_count", "Number of jobs in dead-letter queue", n.dead),
            _attempts(),
            _gauge(
                "scheduler_oldest_queued_seconds",
                "For how long the oldest queued job has been queued",
                metrics.oldest_queued_seconds(),
            ),
            _gauge(
                "scheduler_lag_seconds",
                "How far behind the most overdue waiting job is",
                metrics.scheduler_lag_seconds(),
            ),
            _gauge("scheduler_schedule_rows", "Schedule rows of settlements and structures", metrics.schedule_rows()),
            _gauges("scheduler_world_clocks", "World clocks that are on, by state", "state", world_clocks.count()),
            _gauge(
                "scheduler_world_stop_oldest_seconds",
                "For how long the world that has stood longest at a stop stands",
                metrics.oldest_world_stop_seconds(),
            ),
            _gauges(
                "scheduler_alerts_open",
                "Alerts that are not resolved",
                "severity",
                metrics.open_alerts(),
            ),
            _gauge(
                "scheduler_monitor_active", "1 while a monitor process raises and delivers alerts", metrics.monitors()
            ),
        )
    )


def _attempts() -> str:
    """Ended attempts by outcome; apart from them, claims that found that their job must wait or were handed back."""
    ended = dict.fromkeys(label_values.of_jobs(), 0)
    waits = dict.fromkeys(label_values.of_waits(), 0)
    handed_back = dict.fromkeys(label_values.of_hand_backs(), 0)
    for (kind, outcome), n in metrics.TOTALS.read().items():
        if outcome in metrics.WAITS:
            waits[kind, outcome] = n
        elif outcome == NOT_BEGUN:
            handed_back[kind,] = n
        else:
            ended[kind, outcome] = n
    return "".join(
        (
            _family(
                "scheduler_jobs_total",
                "counter",
                "Attempts of jobs by type and outcome",
                [({"type": kind, "outcome": outcome}, n) for (kind, outcome), n in sorted(ended.items())],
            ),
            _family(
                "scheduler_job_waits_total",
                "counter",
                "Times that a job was found to have to wait, by type and what it waits for",
                [({"type": kind, "reason": wait}, n) for (kind, wait), n in sorted(waits.items())],
            ),
            _family(
                "scheduler_jobs_handed_back_total",
                "counter",
                "Claimed jobs that went back to their queue before they began, by type",
                [({"type": kind}, n) for (kind,), n in sorted(handed_back.items())],
            ),
        )
    )


def _redis(depths: Depths) -> str:
    leaders = [({"role": role, "leader": who}, 1.0) for role, who in metrics.leaders().items()]
    return "".join(
        (
            _gauges(
                "scheduler_queue_depth",
                "Waiting jobs by queue, those that pauses hold back included",
                "queue",
                {name: depth.waiting for name, depth in depths.items()},
            ),
            _gauges(
                "scheduler_queue_held_back",
                "Waiting jobs that pauses hold back, by queue",
                "queue",
                {name: depth.held_back for name, depth in depths.items()},
            ),
            _gauges(
                "scheduler_queue_backlog",
                "Waiting jobs of campaigns that have their share, by queue",
                "queue",
                {name: depth.backlog for name, depth in depths.items()},
            ),
            _gauges(
                "scheduler_queue_head_age_seconds",
                "How long the job at the queue's head has been due",
                "queue",
                metrics.head_ages(depths),
            ),
            _main_api(),
            _family("scheduler_leader_info", "gauge", "Who leads, by the beginning of its lease's token", leaders),
        )
    )


def _main_api() -> str:
    state = main_api().breaker.snapshot().state
    now = traffic.read(keys.redis())
    limits = {name: float(n) for name, n in now.limits._asdict().items() if n is not None}
    return "".join(
        (
            _gauges("scheduler_api_limit", "Limits of requests to the main API, if any", "of", limits),
            _gauge("scheduler_api_in_flight", "Requests in flight, counted while there is a limit", now.in_flight),
            _gauge("scheduler_api_waiting", "Requests that wait for the limits", now.waits),
            _gauges(
                "scheduler_circuit_breaker_state",
                "1 for the state the breaker is in",
                "state",
                {s: float(s == state) for s in ("closed", "half-open", "open")},
            ),
        )
    )


def _counters(counts: Counts) -> str:
    families = []
    for name, metric, labels, help_text in COUNTERS:
        samples = [
            (dict(zip(labels, s[1:], strict=True)), n)
            for s, n in sorted(counts.items())
            if s[0] == name and len(s) == len(labels) + 1
        ]
        families.append(_family(metric, "counter", help_text, samples))
    families += [_histogram(counts, *histogram) for histogram in HISTOGRAMS]
    return "".join(families)


def _gauge(name: str, help_text: str, value: float) -> str:
    return _family(name, "gauge", help_text, [({}, value)])


def _gauges(name: str, help_text: str, label: str, values: Mapping[str, float]) -> str:
    """A gauge with one label."""
    return _family(name, "gauge", help_text, [({label: of}, value) for of, value in values.items()])


def _histogram(counts: Counts, name: str, metric: str, label: str, bounds: tuple[float, ...], help_text: str) -> str:
    lines = [f"# HELP {metric} {help_text}", f"# TYPE {metric} histogram"]
    for value in sorted({s[1] for s in counts if s[0] == name and len(s) == 3}):
        named, below = f'{label}="{_escape(value)}"', 0.0
        for bound in (*(f"{b:g}" for b in bounds), "+Inf"):
            below += counts.get((name, value, bound), 0)
            lines.append(f'{metric}_bucket{{{named},le="{bound}"}} {below:.15g}')
        lines += [
            f"{metric}_sum{{{named}}} {counts.get((name, value, 'sum'), 0):.15g}",
            f"{metric}_count{{{named}}} {below:.15g}",
        ]
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, help_text: str, samples: Samples) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value:.15g}" if inner else f"{name} {value:.15g}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
