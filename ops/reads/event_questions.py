"""Questions about events, with what operators need to answer them."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from jobs import calendars
from jobs.models import CampaignClock, EventQuestion
from jobs.triggers import questions
from jobs.world.calendars.text import format_world_time
from jobs.world.clock import WorldTime

MOST_OPEN: Final = 100
MOST_ANSWERED: Final = 30


class Question(NamedTuple):
    """A question, its campaign's name, and when the event is scheduled in the campaign's calendar."""

    row: EventQuestion
    campaign: str
    at: str


def read_questions() -> dict[str, Any]:
    """The context of the list; six queries, however many campaigns."""
    return {
        "open": describe(questions.find_open(MOST_OPEN)),
        "answered": describe(questions.find_answered(MOST_ANSWERED)),
    }


def describe(rows: Sequence[EventQuestion]) -> list[Question]:
    campaign_ids = {row.campaign_id for row in rows}
    names = dict(CampaignClock.objects.filter(pk__in=campaign_ids).values_list("pk", "name")) if rows else {}
    known = calendars.of_campaigns(campaign_ids)
    return [Question(row, names.get(row.campaign_id) or row.campaign_id, _write(row, known)) for row in rows]


def _write(row: EventQuestion, known: dict[str, Any]) -> str:
    try:
        return format_world_time(known[row.campaign_id], WorldTime.parse(row.scheduled_at))
    except ValueError:
        return row.scheduled_at
