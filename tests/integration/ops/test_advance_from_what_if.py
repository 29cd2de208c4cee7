"""*Advance* on a what-if does what was shown, and its page says where it came out otherwise."""

import re
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from jobs import pauses
from jobs.models import AdvancePrediction, AdvanceSource, CampaignClock, Job, WorldAdvance
from jobs.schedules.advances import react
from jobs.states import State
from jobs.world.clock import WorldTime
from sandbox.dialect import DIALECTS
from tests.support.advancing import CAMPAIGN, entities, recalculate
from tests.support.dialects import let_time_move
from tests.support.people import member
from tests.support.servers import SandboxApi
from tests.support.stops import go_on, plant, submit_at
from tests.support.working import work

pytestmark = pytest.mark.django_db(transaction=True)
PAGES = f"/admin/jobs/campaignclock/{CAMPAIGN}/"
WHAT_IF, BUTTON = f"{PAGES}what-if/", f"{PAGES}what-if/advance/"
SIZE = {"campaigns": 1, "kingdoms": 1, "settlements": 2, "structures": 2, "events": 4, "effects": 0}
TODAY = sorted(DIALECTS["today"] - {11})
TOWN, MARKET = "settlement-1-1-1", "structure-1-1-1-1"


@pytest.fixture
def operator(client: Client, redis: Redis, sandbox: SandboxApi) -> Client:
    """An operator who looks at a small campaign with schedules."""
    sandbox.control("POST", "reset", SIZE)
    let_time_move(sandbox)
    recalculate(redis)
    return member(client, "Operator", name="olga")


def form_of(client: Client, by: str = "8h") -> dict[str, str]:
    """The hidden fields of the what-if's form; empty if there is no button."""
    text = client.get(WHAT_IF, {"by": by}).content.decode().partition(BUTTON)[2].partition("</form>")[0]
    return dict(re.findall(r'type="hidden" name="(to|digest|cause)" value="([^"]+)"', text))


def page_after(client: Client, redis: Redis) -> tuple[Any, str]:
    """Let all jobs run: the advance as its page has it, and the page."""
    work(redis)
    row = WorldAdvance.objects.exclude(job_id=None).get()
    page = client.get(f"{PAGES}advances/{row.pk}/")
    return page.context["advance"], page.content.decode()


def press_advance(client: Client, redis: Redis, form: dict[str, str]) -> tuple[Any, str]:
    """Press the button, and let all jobs run."""
    answer = client.post(BUTTON, {**form, "reason": "the party rests"})
    assert "/admin/jobs/job/" in answer["Location"]
    return page_after(client, redis)


@pytest.mark.parametrize("points", [[], TODAY], ids=["contract", "today"])
def test_it_comes_out_as_was_said(operator: Client, redis: Redis, sandbox: SandboxApi, points: list[int]) -> None:
    """Whatever is due in eight hours, and the events; to exactly that time, by whom and why, once."""
    sandbox.control("POST", "dialect", {"points": points})
    form = form_of(operator)
    advance, text = press_advance(operator, redis, form)

    assert (advance.phase[0], advance.reason) == ("Done", "the party rests")
    assert advance.row.to_time == form["to"] == sandbox.world()["campaigns"][CAMPAIGN]["currentWorldTime"]
    assert advance.report.differences == []
    assert advance.report.as_said == len(entities(sandbox)) == 6
    assert "Everything came out as predicted. Settlements and structures: 6." in text
    assert len(advance.prediction.expired) == (4 if points else 1)
    towns = {town.id: town for town in advance.towns.page(0)}
    _level, variables = entities(sandbox)[TOWN]
    assert {value.name: value.after for value in towns[TOWN].values}["population"] == variables["population"]
    assert all(town.applied == town.total > 0 for town in towns.values())
    again = operator.post(BUTTON, form, follow=True).content.decode()
    assert "Not advanced" in again


def test_a_form_that_is_sent_twice_advances_once(operator: Client, redis: Redis) -> None:
    form = form_of(operator)
    first, again = (operator.post(BUTTON, form, follow=True) for _ in range(2))

    assert first.redirect_chain == again.redirect_chain
    assert "was already submitted" in again.content.decode()
    assert AdvancePrediction.objects.get().pk == Job.objects.get(type="ADVANCE_WORLD_TIME").pk


def test_what_a_player_changed_meanwhile_is_named(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """Between the button and the job: of all others it comes out as was said."""
    pauses.pause("type", "ADVANCE_WORLD_TIME", actor="user:ann", reason="wait")
    form = form_of(operator)
    operator.post(BUTTON, form)
    variables = entities(sandbox)[TOWN][1]
    sandbox.control("POST", "settlements", {"id": TOWN, "variables": {**variables, "population": 40}})
    pauses.resume("type", "ADVANCE_WORLD_TIME", actor="user:ann", reason="go on")
    advance, text = page_after(operator, redis)

    (difference,) = advance.report.differences
    assert difference.what == "settlement"
    assert "population" in {name for name, _said, _came in difference.values}
    assert "It was changed meanwhile" in difference.causes[0]
    assert "came out differently" in text


def test_what_is_gone_meanwhile_is_named(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    pauses.pause("type", "ADVANCE_WORLD_TIME", actor="user:ann", reason="wait")
    operator.post(BUTTON, form_of(operator))
    sandbox.control("POST", "structures", {"id": MARKET, "archivedAt": "2026-01-01T00:00:00Z"})
    pauses.resume("type", "ADVANCE_WORLD_TIME", actor="user:ann", reason="go on")
    advance, _ = page_after(operator, redis)

    (difference,) = [one for one in advance.report.differences if one.what == "structure"]
    assert difference.causes == ["It no longer has a schedule: it is gone or archived."]


def test_a_failed_job_is_named(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    advance, _ = press_advance(operator, redis, form_of(operator))
    Job.objects.filter(subject__startswith=f"{MARKET}:", request_id=advance.row.request_id).update(
        state=State.DEAD, result=None, error="the market is on fire"
    )
    advance, text = page_after(operator, redis)

    (difference,) = advance.report.differences
    assert difference.causes[0] == "Its job failed: the market is on fire"
    assert f"/admin/jobs/job/{difference.dead.pk}/" in text


def test_time_that_moved_further_is_named(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """Before the advance's jobs ran, which then applied more."""
    for kind in ("SETTLEMENT_GROWTH", "STRUCTURE_MAINTENANCE"):
        pauses.pause("type", kind, actor="user:ann", reason="wait")
    advance, text = press_advance(operator, redis, form_of(operator))
    assert advance.report is None
    assert "once all jobs have ended" in text
    further = "1001-06-03T12:00:00.000Z"
    sandbox.control("POST", "advance", {"campaignId": CAMPAIGN, "to": further})
    react(CAMPAIGN, WorldTime.parse(further), source=AdvanceSource.MESSAGE, actor="listener")
    for kind in ("SETTLEMENT_GROWTH", "STRUCTURE_MAINTENANCE"):
        pauses.resume("type", kind, actor="user:ann", reason="go on")
    advance, _ = page_after(operator, redis)

    assert len(advance.report.differences) == len(entities(sandbox))
    for one in advance.report.differences:
        assert one.causes == ["Time had moved on to 3 June 1001, 12:00 when it was applied."]
        assert all(came >= said for name, said, came in one.values if name in ("level", "population"))


def test_an_effect_on_the_way_is_named(operator: Client, redis: Redis, sandbox: SandboxApi) -> None:
    """What it changes was not known; while the world waits for it nothing is compared."""
    plant(sandbox, "feud", "settlement", TOWN, population=40)
    submit_at("1001-06-01T16:00:00Z", "feud")
    waiting, text = press_advance(operator, redis, form_of(operator))
    assert (waiting.phase[0], waiting.report) == ("Waiting at a stop", None)
    assert "the world has passed its stops" in text
    go_on(redis, sandbox)
    advance, text = page_after(operator, redis)

    (difference,) = advance.report.differences
    assert difference.causes == ["It was changed while time passed, by a player or one of the effects above."]
    assert "Effects that ran meanwhile" in text


def test_nothing_is_submitted_if_it_would_come_out_otherwise_now(
    operator: Client, redis: Redis, sandbox: SandboxApi
) -> None:
    """The page is shown again with what would happen now; an incomplete form submits nothing either."""
    form = form_of(operator)
    variables = entities(sandbox)[TOWN][1]
    sandbox.control("POST", "settlements", {"id": TOWN, "variables": {**variables, "population": 40}})

    changed = operator.post(BUTTON, form, follow=True).content.decode()
    assert "the campaign has changed since" in changed
    assert form_of(operator)["to"] == form["to"]
    assert "incomplete" in operator.post(BUTTON, {**form, "cause": "x"}, follow=True).content.decode()
    assert not Job.objects.filter(type="ADVANCE_WORLD_TIME").exists()


def test_only_who_may_submit_jobs_has_the_button(viewer: Client, sandbox: SandboxApi) -> None:
    """And only for the whole campaign, on world time."""
    CampaignClock.objects.create(pk=CAMPAIGN, world_time="1001-06-01T12:00:00.000Z")
    assert form_of(viewer) == {}
    assert viewer.post(BUTTON, {}).status_code == 403
