"""The endpoint of world clocks: how a campaign's stands. Setting and pausing it is for people."""

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from api.problems import problem
from jobs.models import WorldClock
from jobs.world_clocks.settings import format_rate
from jobs.world_clocks.status import ClockStatus


@require_GET
def show(request: HttpRequest, actor: str, campaign_id: str) -> JsonResponse:
    """GET /api/campaigns/<id>/world-clock: 404 if nobody has set one up."""
    clock = WorldClock.objects.filter(pk=campaign_id).first()
    if clock is None:
        return problem(404, "the campaign has no world clock")
    return JsonResponse(_as_json(ClockStatus(clock, campaign_id, timezone.now())))


def _as_json(status: ClockStatus) -> dict[str, Any]:
    clock = status.clock
    return {
        "campaignId": clock.pk,
        "state": status.state,
        "since": clock.since,
        "rate": format_rate(clock.rate),
        "stepSeconds": clock.step,
        "nextStepAt": clock.next_at,
        "lastStep": {"number": clock.steps, "seconds": clock.step_seconds, "jobId": clock.step_job_id}
        if clock.steps
        else None,
        "mostSecondsPerStep": clock.most_per_step,
        "mostSecondsPerDay": clock.most_per_day,
        "secondsToday": status.moved_today,
        "quietHours": clock.quiet_hours,
        "timeZone": clock.time_zone,
        "catchUp": clock.catch_up,
        "problem": clock.problem or None,
    }
