"""A forecast comes true, and an advance does what was said that it would do."""

import os
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from jobs.errors import InvalidForecast, NotFound, TransientError
from jobs.main_api.client import MainApi, main_api
from jobs.models import Job
from jobs.schedules.forecast import EVENT_EXPIRED, Forecast, Line
from jobs.schedules.towns import read_world
from jobs.schedules.what_if import read_until, what_if
from jobs.world.clock import WorldTime
from jobs.world.marks import KEY
from tests.support.advancing import CAMPAIGN, RECALCULATIONS, advance, entities, recalculate
from tests.support.environment import DIALECT
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
SIZE = {"campaigns": 1, "kingdoms": 1, "settlements": 3, "structures": 2, "events": 1, "effects": 0}
DAYS = int(os.environ.get("FORECAST_DAYS", "12"))  #: 365 for a whole year (docs/verification.md)
REACTIONS = (*RECALCULATIONS, "EVENT_EXPIRATION")
TOWN = "settlement-1-1-1"
VALUES = {
    "CONSTRUCTION_COMPLETE": ["isOperational", "constructionDurationMinutes"],
    "MAINTENANCE_DUE": ["maintenanceDue", "missedMaintenance", "health", "isOperational"],
    "POPULATION_GROWTH": ["population"],
    "RESOURCE_GENERATION": ["resources"],
    "LEVEL_UP_CHECK": ["level"],
    "UPGRADE_AVAILABLE": ["upgradeAvailable"],
}


@pytest.fixture
def world(redis: Redis, sandbox: SandboxApi) -> dict[str, Any]:
    """A world in which something of every kind happens: a market fails, and a mill is built."""
    sandbox.control("POST", "reset", SIZE)
    broken = {"health": 25, "maintenanceIntervalMinutes": 180}
    sandbox.control("POST", "structures", {"id": "structure-1-1-1-1", "variables": broken})
    built = {"constructionDurationMinutes": 2000, "requiredResourcesForUpgrade": {"gold": 900}}
    sandbox.control("POST", "structures", {"id": "structure-1-1-2-1", "variables": built})
    recalculate(redis)
    made: dict[str, Any] = entities(sandbox)
    return made


class Play:
    """Days that pass, and whether the lines of each came true."""

    def __init__(self, redis: Redis, sandbox: SandboxApi, begin: dict[str, Any], lines: list[Line]) -> None:
        self.true: list[Line] = []
        self.false: list[Line] = []
        self._redis = redis
        self._sandbox = sandbox
        self._lines = lines
        self._expected = {i: {"level": level, **variables} for i, (level, variables) in begin.items()}

    def day(self, until: WorldTime) -> None:
        """Let a day pass; its lines are true if jobs have done as much and the world shows it."""
        advance(self._sandbox, 24)
        done = self._work()
        shown = {i: {"level": level, **variables} for i, (level, variables) in entities(self._sandbox).items()}
        lines: dict[tuple[str, str], list[Line]] = defaultdict(list)
        while self._lines and self._lines[0].at.at <= until.at:
            line = self._lines.pop(0)
            lines[line.entity_id, line.event].append(line)
            self._apply(line)
        for (entity_id, event), own in lines.items():
            right = done.pop((entity_id, event), len(own)) == len(own)
            if event != EVENT_EXPIRED:
                right = right and self._is_shown(own, shown[entity_id])
            (self.true if right else self.false).extend(own)
        assert not done, "something happens that was not in the forecast"

    def _work(self) -> Counter[tuple[str, str]]:
        """Recalculate, and count by entity and event what jobs have applied since."""
        Job.objects.all().delete()
        recalculate(self._redis, *REACTIONS)
        done = Counter[tuple[str, str]]()
        for payload, result, kind in Job.objects.filter(state="SUCCEEDED").values_list("payload", "result", "type"):
            assert payload is not None
            assert result is not None
            if "occurrences" in result:
                entity = payload.get("settlementId") or payload["structureId"]
                done[entity, payload.get("growthType") or payload["eventType"]] += result["occurrences"]
            elif kind == "EVENT_EXPIRATION" and result["expired"]:
                done["event-1-1", EVENT_EXPIRED] += result["expired"]
        return done

    def _apply(self, line: Line) -> None:
        own = self._expected.setdefault(line.entity_id, {})
        for gone in line.before.keys() - line.after.keys():
            own.pop(gone, None)
        own.update(line.after)

    def _is_shown(self, lines: list[Line], shown: dict[str, Any]) -> bool:
        """The last due time is the mark, and every value that the event is about is as they said."""
        own, event = self._expected[lines[0].entity_id], lines[0].event
        marked = shown[KEY][event] == lines[-1].at.isoformat()
        return marked and all(own.get(name) == shown.get(name) for name in VALUES[event])


def begin(api: MainApi, days: int) -> tuple[Forecast, list[Line]]:
    forecast = Forecast(read_world(api, CAMPAIGN), days)
    return forecast, list(forecast.lines())


def test_a_forecast_comes_true_day_by_day(
    world: dict[str, Any], redis: Redis, sandbox: SandboxApi, api: MainApi
) -> None:
    forecast, lines = begin(api, DAYS)
    total = len(lines)
    kinds = {line.event for line in lines}
    assert len(kinds) == 7, f"something of every kind happens: {kinds}"
    assert sum(period.total for period in forecast.periods()) == total
    assert lines == sorted(lines, key=lambda line: line.slot)

    play = Play(redis, sandbox, world, lines)
    for n in range(1, DAYS + 1):
        play.day(WorldTime(forecast.world.now.at + timedelta(days=n)))
    print(f"{DAYS} days: {total:,} lines, {len(play.false)} of them not as forecast")
    assert len(play.true) == total


def test_lines_that_do_not_come_true_are_those_of_what_a_player_changed(
    world: dict[str, Any], redis: Redis, sandbox: SandboxApi, api: MainApi
) -> None:
    """On the third day a player sends the people of a town away; its structures do not notice."""
    forecast, lines = begin(api, 5)
    play = Play(redis, sandbox, world, lines)
    for n in range(1, 6):
        if n == 3:
            _level, variables = entities(sandbox)[TOWN]
            sandbox.control("POST", "settlements", {"id": TOWN, "variables": {**variables, "population": 40}})
        play.day(WorldTime(forecast.world.now.at + timedelta(days=n)))
    assert play.false
    assert {line.entity_id for line in play.false} == {TOWN}
    assert min(line.at.at for line in play.false) > forecast.world.now.at + timedelta(days=2)
    # resources come as often as the town's level has it, and the level follows from the people
    assert "POPULATION_GROWTH" in {line.event for line in play.false}


def test_an_advance_does_what_was_said_that_it_would_do(
    world: dict[str, Any], redis: Redis, sandbox: SandboxApi, api: MainApi
) -> None:
    """Also in two steps."""
    reading = read_world(api, CAMPAIGN)
    until = read_until(reading.now, by="10d")
    found = what_if(reading, until)
    for _ in range(2):
        advance(sandbox, 5 * 24)
        recalculate(redis, *REACTIONS)
    after = entities(sandbox)
    for change in (change for town in found.towns for change in town.changes):
        level, variables = after[change.entity_id]
        shown = {"level": level, **variables}
        assert {name: shown[name] for name in change.after} == change.after
        assert not {name for name in change.before if name not in change.after and name in shown}
    assert {change.entity_id for town in found.towns for change in town.changes} == after.keys()
    assert [event.id for event in found.expired] == ["event-1-1"]


def test_a_forecast_is_read_in_pages_and_for_one_town(
    world: dict[str, Any], redis: Redis, sandbox: SandboxApi, api: MainApi
) -> None:
    forecast, lines = begin(api, 2)
    paged: list[Line] = []
    after = ""
    while True:
        found, after = forecast.page(after, 7)
        paged += found
        if not after:
            break
    assert paged == lines
    second = forecast.periods()[-1]
    assert forecast.page(second.cursor, 1000)[0] == [line for line in lines if line.at.at > second.after.at]
    own = list(Forecast(read_world(api, CAMPAIGN, town=TOWN), 2).lines())
    assert own == [line for line in lines if line.town and line.town.settlement.id == TOWN]


def test_events_to_come_expire_five_minutes_late(redis: Redis, sandbox: SandboxApi, api: MainApi) -> None:
    """Where the main API lists them; the what-if says the same. The contract knows the overdue one only."""
    sandbox.control("POST", "reset", {**SIZE, "settlements": 0, "events": 4})
    contract = list(Forecast(read_world(api, CAMPAIGN), 1).lines())
    sandbox.control("POST", "dialect", {"points": [14]})
    main_api.cache_clear()
    world = read_world(main_api(), CAMPAIGN)
    lines = list(Forecast(world, 1).lines())

    assert [line.scheduled_at and line.at.at - line.scheduled_at.at for line in lines] == 4 * [timedelta(minutes=5)]
    assert [line.entity_id for line in lines] == [f"event-1-{n}" for n in (1, 2, 3, 4)]
    assert world.knows_events
    found = what_if(world, read_until(world.now, by="32m"))  # up to 12:32: of 11:30 and 12:00
    assert [event.id for event in found.expired] == ["event-1-1", "event-1-2"]
    assert DIALECT == "today" or [line.entity_id for line in contract] == ["event-1-1"]
    main_api.cache_clear()


def test_what_cannot_be_forecast_says_why(
    world: dict[str, Any], redis: Redis, sandbox: SandboxApi, api: MainApi
) -> None:
    reading = read_world(api, CAMPAIGN)
    with pytest.raises(NotFound, match="no-such"):
        read_world(api, "no-such")
    with pytest.raises(TransientError, match="too slow"):
        read_world(api, CAMPAIGN, within_s=-1)
    for to, by, message in (
        ("", "", "either to or by"),
        ("tomorrow", "", "to: 'tomorrow'"),
        ("", "soon", "by: “soon”"),
        ("", "9999d", "3,660 days"),
        ("0999-01-01T00:00:00Z", "", "must be after the campaign's clock"),
    ):
        with pytest.raises(InvalidForecast, match=message):
            what_if(reading, read_until(reading.now, to=to, by=by))
    with pytest.raises(InvalidForecast, match="after: “x”"):
        list(Forecast(reading, 1).lines("x"))
    sandbox.control("POST", "campaigns", {"id": CAMPAIGN, "isActive": False})
    assert not list(Forecast(read_world(api, CAMPAIGN), 9).lines())
