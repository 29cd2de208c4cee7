"""The tiles of the dashboard: numbers, each with the link to the list that it counts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop, ngettext

from jobs.histogram import OBJECTIVE_MS, OBJECTIVE_SHARE
from jobs.state_counts import Retrying
from jobs.states import ENDED, State
from jobs.waits import Wait
from ops.humanize import duration, format_count, format_percent, limited_count, milliseconds
from ops.reads.audit_trail import FAILED, HANDED_BACK, WAITED
from ops.reads.job import TONES
from ops.reads.outcomes import OutcomePeriod, Range
from scheduler_project.numbers import format_number

WAITS: Final = {
    Wait.BREAKER: gettext_noop("the circuit breaker"),
    Wait.LIMIT: gettext_noop("the main API's limits"),
    Wait.ANSWER: gettext_noop("an operator's answer"),
    Wait.OUTAGE: gettext_noop("the database or Redis"),
    Wait.OTHER: gettext_noop("other work"),
}  #: what jobs wait for, in words
ANY_WAIT, NOT_WAITING = "any", "no"  #: values of the job list's filter `waits`, beside those of Wait
FRESH: Final = timedelta(minutes=5)  #: what was measured before is old


def make_tiles(
    sums: OutcomePeriod, counts: dict[State, int], retrying: Retrying, wanted: Range
) -> list[dict[str, Any]]:
    """The numbers at the top, each with the link to the list that it counts."""
    jobs, minutes = reverse("admin:jobs_job_changelist"), wanted.length / timedelta(minutes=1)
    since = in_address(sums.at)
    ended = sum(sums.outcomes[outcome] for outcome in ENDED)
    failed = sums.outcomes[State.DEAD] + sums.outcomes[State.RETRYING]
    return [
        {
            "name": gettext("Attempts/min"),
            "value": format_number(sums.jobs / minutes, 1),
            "icon": "speed",
            "tone": "calm",
            "link": f"{jobs}?{urlencode({'finished_at_from': since})}",
            "says": ngettext("%(count)s job finished in %(range)s", "%(count)s jobs finished in %(range)s", ended)
            % {"count": format_count(ended), "range": wanted.within},
            "measures": True,
        },
        {
            "name": gettext("Failed attempts"),
            "value": format_count(failed),
            "tone": "warn" if failed else "good",
            "link": link_to_moves(FAILED, since=since),
            "says": gettext("%(percent)s of attempts") % {"percent": format_percent(100 * failed / sums.jobs)}
            if sums.jobs
            else gettext("none ended"),
            "icon": "replay",
            "measures": True,
        },
        *_wait_tiles(sums, wanted),
        *_hand_back_tiles(sums, wanted),
        *_time_tiles(sums),
        *(
            _tile(state, counts[state], f"{jobs}?state={state.value}")
            for state in (State.RUNNING, State.QUEUED, State.SCHEDULED)
        ),
        *_retrying_tiles(retrying, f"{jobs}?state={State.RETRYING.value}"),
        _tile(State.DEAD, counts[State.DEAD], f"{jobs}?state={State.DEAD.value}"),
    ]


def grey_out(tiles: Sequence[dict[str, Any]], slots: Sequence[OutcomePeriod], wanted: Range, now: datetime) -> None:
    """Mark the tiles that measure attempts as old if none has ended lately."""
    last = max((slot.at + wanted.step for slot in slots if slot.jobs), default=None)
    if last and now - last <= FRESH:
        return
    for tile in tiles:
        if tile.get("measures"):
            tile["tone"], tile["is_old"] = "muted", True
            if last:
                tile["says"] = gettext("no attempt has ended for %(duration)s") % {"duration": duration(now - last)}
            else:
                tile["says"] = gettext("none in %(range)s") % {"range": wanted.within}


def _wait_tiles(sums: OutcomePeriod, wanted: Range) -> list[dict[str, Any]]:
    """How often jobs were found to have to wait; none if none was."""
    if not sums.waits:
        return []
    causes = ", ".join(f"{gettext(WAITS[Wait(name)])} ({format_count(n)})" for name, n in sums.waits.most_common())
    return [
        {
            "name": gettext("Had to wait"),
            "value": format_count(sums.waits.total()),
            "icon": "hourglass_pause",
            "tone": "warn" if sums.waits[Wait.BREAKER] or sums.waits[Wait.OUTAGE] else "calm",
            "link": link_to_moves(WAITED, since=in_address(sums.at)),
            "says": gettext("times in %(range)s, for %(causes)s") % {"range": wanted.within, "causes": causes},
        }
    ]


def _hand_back_tiles(sums: OutcomePeriod, wanted: Range) -> list[dict[str, Any]]:
    """How many claimed jobs went back to their queue before they began; none if none did."""
    if not sums.handed_back:
        return []
    return [
        {
            "name": gettext("Handed back"),
            "value": format_count(sums.handed_back),
            "icon": "undo",
            "tone": "calm",
            "link": link_to_moves(HANDED_BACK, since=in_address(sums.at)),
            "says": gettext("times in %(range)s, before the job began") % {"range": wanted.within},
        }
    ]


def _retrying_tiles(retrying: Retrying, link: str) -> list[dict[str, Any]]:
    """Jobs that failed and jobs that have to wait; together, they are in the state RETRYING."""
    icon, tone = TONES[State.RETRYING]
    more = "+" if retrying.may_be_more else ""
    return [
        {
            "name": gettext("Failing"),
            "value": f"{format_count(retrying.failing)}{more}",
            "icon": icon,
            "tone": tone if retrying.failing else "calm",
            "link": f"{link}&waits={NOT_WAITING}",
            "says": gettext("failed, next attempt to come"),
        },
        {
            "name": gettext("Have to wait"),
            "value": f"{format_count(retrying.waiting)}{more}",
            "icon": "hourglass_pause",
            "tone": tone if retrying.blocked else "calm",
            "link": f"{link}&waits={ANY_WAIT}",
            "says": gettext("%(count)s for the circuit breaker; not failing")
            % {"count": f"{format_count(retrying.blocked)}{more}"},
        },
    ]


def _time_tiles(sums: OutcomePeriod) -> list[dict[str, Any]]:
    """How late jobs started, and how long they ran."""
    share = sums.on_time_share
    return [
        {
            "name": gettext("Started on time (≤ 1 s)"),
            "value": "-" if share is None else format_percent(100 * share),
            "link": "#lateness",
            "says": gettext("target %(percent)s") % {"percent": format_percent(100 * OBJECTIVE_SHARE, 0)},
            "icon": "timer",
            "measures": True,
            "tone": "good" if share is None or share >= OBJECTIVE_SHARE else "bad",
        },
        {
            "name": gettext("Start delay, p95"),
            "value": milliseconds(sums.p95_ms),
            "link": "#lateness",
            "icon": "hourglass_bottom",
            "measures": True,
            "says": gettext("p50 %(p50)s, max %(max)s")
            % {"p50": milliseconds(sums.p50_ms), "max": milliseconds(sums.max_ms)},
            "tone": "good" if (sums.p95_ms or 0) <= OBJECTIVE_MS else "bad",
        },
        {
            "name": gettext("Run time"),
            "value": milliseconds(sums.run_mean_ms),
            "link": reverse("admin:jobs_types"),
            "icon": "avg_pace",
            "measures": True,
            "says": gettext("max %(max)s") % {"max": milliseconds(sums.run_ms_max if sums.jobs else None)},
            "tone": "calm",
        },
    ]


def _tile(state: State, count: int, link: str) -> dict[str, Any]:
    icon, tone = TONES[state]
    names = {
        State.RUNNING: gettext("Running"),
        State.QUEUED: gettext("Queued"),
        State.SCHEDULED: gettext("Scheduled"),
        State.DEAD: gettext("Dead letters"),
    }
    says = {
        State.RUNNING: gettext("right now"),
        State.QUEUED: gettext("waiting for a worker"),
        State.SCHEDULED: gettext("not due yet"),
        State.DEAD: gettext("need attention"),
    }
    if state is State.DEAD:
        link, tone = reverse("admin:jobs_failuregroup_changelist"), "bad" if count else "good"
    return {
        "name": names[state],
        "value": limited_count(count),
        "link": link,
        "says": says[state],
        "icon": icon,
        "tone": tone,
    }


def link_to_moves(what: str, **when: str) -> str:
    """The audit trail with workers' moves."""
    return f"{reverse('admin:jobs_auditentry_changelist')}?{urlencode({'scope': 'all', 'what': what, **when})}"


def in_address(moment: datetime) -> str:
    """A time in the user's time zone, with its offset: the address means the same to everybody."""
    return timezone.localtime(moment).isoformat(timespec="minutes")
