"""Pages of events: their policies, questions to operators, and what a job has sent."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from jobs import calendars, stops
from jobs.models import CampaignClock, EventPolicy, EventQuestion, Job, OperatorAction, new_job_id
from jobs.state_counts import count_retrying
from jobs.states import State
from jobs.world.calendars.examples import TIDES
from jobs.world.clock import WorldTime
from ops.reads.event_questions import describe
from tests.support.campaigns import campaign
from tests.support.effects import run
from tests.support.events import (
    AT,
    CAMPAIGN,
    EVENT,
    ask_operator,
    executions,
    plant_effects,
    set_policy,
    trigger_job,
)
from tests.support.people import member
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)
POLICIES, QUESTIONS = "/admin/jobs/eventpolicy/", "/admin/jobs/eventquestion/"
EVENT_TIME = "1001-06-01T12:00:00.000Z"
WAITS = ("any", "no", "ANSWER", "BREAKER")
ANSWER, SETTLE = f"{QUESTIONS}answer/", f"{QUESTIONS}settle/"


def text_of(client: Client, page: str) -> str:
    answer = client.get(page)
    assert answer.status_code == 200
    return answer.content.decode()


def badges(page: str) -> list[str]:
    """What stands beside Questions in the menu."""
    link = page[page.index(f'href="{QUESTIONS}"') :].partition("</a>")[0]
    return re.findall(r">\s*(\d+)\s*<", link)


def page_of(job: Job) -> str:
    return f"/admin/jobs/job/{job.pk}/change/"


@pytest.fixture
def administrator(client: Client, redis: Redis) -> Client:
    return member(client, "Administrator", name="ann")


@pytest.fixture
def operator(client: Client, redis: Redis) -> Client:
    return member(client, "Operator", name="olga")


@pytest.fixture
def waiting(sandbox: SandboxApi) -> Job:
    """A job that waits for an answer."""
    return ask_operator(sandbox)


def test_an_administrator_sets_and_removes_a_policy(administrator: Client) -> None:
    """With the reason in the audit trail."""
    values = {
        "campaign": "c-1",
        "event_type": "Story",
        "action": "ask",
        "answer_minutes": "90",
        "default_answer": "yes",
    }
    said = administrator.post(POLICIES, {**values, "reason": "players decide"}, follow=True).content.decode()
    assert "No campaign with the ID c-1 is known yet" in said
    campaign()
    again = administrator.post(POLICIES, values, follow=True).content.decode()
    assert "Nothing changed." in again
    assert "is known yet" not in again
    row = EventPolicy.objects.get()

    assert (row.campaign_id, row.event_type, row.action, row.answer_minutes, row.default_answer) == (
        "c-1",
        "story",
        "ask",
        90,
        True,
    )
    assert OperatorAction.objects.latest("id").reason == "players decide"
    assert "yes after 90 min without an answer" in text_of(administrator, POLICIES)
    administrator.post(POLICIES, {"remove": str(row.pk), "reason": "no more"})
    assert not EventPolicy.objects.exists()
    assert "all events expire" in text_of(administrator, POLICIES)
    assert "already removed" in administrator.post(POLICIES, {"remove": "x"}, follow=True).content.decode()


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"action": "ask"}, "“ask” needs 1 to"),
        ({"action": "ask", "answer_minutes": "-1"}, "Must be 1 to"),
        ({"action": "ask", "answer_minutes": "x"}, "Enter a whole number"),
        ({"action": "sing"}, "Select a valid choice"),
        ({"action": "trigger", "event_type": "t" * 65}, "at most 64 characters"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_under_its_field(
    administrator: Client, values: dict[str, str], fault: str
) -> None:
    answer = administrator.post(POLICIES, values)

    assert answer.status_code == 400
    assert fault in answer.content.decode()
    assert not EventPolicy.objects.exists()


def test_others_see_policies_and_set_none(operator: Client) -> None:
    set_policy("trigger", "", "story")
    page = text_of(operator, POLICIES)

    assert "story" in page
    assert "Set a policy" not in page
    assert operator.post(POLICIES, {"action": "trigger"}).status_code == 403


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_an_operator_answers_on_the_jobs_page(operator: Client, sandbox: SandboxApi, waiting: Job, answer: str) -> None:
    """The page says what happens without an answer, and afterwards who gave it."""
    page = text_of(operator, page_of(waiting))
    assert "Waits: an operator is asked whether to trigger event" in page
    assert "Yes, trigger" in page
    assert "AwaitsAnswer" not in page
    data = {answer: str(waiting.pk), "reason": "they are there", "back": page_of(waiting)}
    then = operator.post(ANSWER, data, follow=True)
    assert then.redirect_chain == [(page_of(waiting), 302)]
    run(waiting)

    page = text_of(operator, page_of(waiting))
    assert f"<b>{answer.capitalize()}</b>, by olga: they are there" in page
    assert "Yes, trigger" not in page
    assert len(executions(sandbox)) == (2 if answer == "yes" else 0)


def test_open_questions_are_listed_and_counted(operator: Client, waiting: Job) -> None:
    """With a badge in the menu of every page; answered ones below."""
    page = text_of(operator, QUESTIONS)
    assert "Yes, trigger" in page
    assert EVENT in page
    assert badges(text_of(operator, POLICIES)) == ["1"]
    assert count_retrying() == (0, 1, 0, False)
    listed = {waits: page_of(waiting) in text_of(operator, f"/admin/jobs/job/?waits={waits}") for waits in WAITS}
    assert listed == {"any": True, "no": False, "ANSWER": True, "BREAKER": False}
    operator.post(ANSWER, {"no": str(waiting.pk)})
    page = text_of(operator, QUESTIONS)
    assert "No open questions" in page
    assert badges(page) == []
    assert "Latest answers" in page
    again = operator.post(ANSWER, {"yes": str(waiting.pk)}, follow=True).content.decode()
    assert "Not answered: the question has been answered already." in again


def test_a_campaigns_page_says_that_an_operator_is_asked(operator: Client, waiting: Job) -> None:
    """As long as the question is open: the world stands there, and nothing else blocks the campaign."""
    CampaignClock.objects.filter(pk=CAMPAIGN).delete()  # the job has made one, without a time
    campaign(campaign_id=CAMPAIGN, world_time=AT, processed_world_time=AT)
    stops.place([stops.PlannedJob(waiting.pk, CAMPAIGN, WorldTime.parse(AT))])
    stops.open_first(CAMPAIGN, WorldTime.parse(AT))
    address = f"/admin/jobs/campaignclock/{CAMPAIGN}/change/"
    asked = f"An operator is asked whether to trigger event {EventQuestion.objects.get().event_name}"
    page = text_of(operator, address)

    assert "The world stands at" in page
    assert f"{asked}; without an answer by" in page
    assert "Nothing is blocking this campaign" not in page
    operator.post(ANSWER, {"yes": str(waiting.pk)})
    assert asked not in text_of(operator, address)


def test_looking_ahead_lists_events_that_have_no_job_yet(operator: Client, sandbox: SandboxApi) -> None:
    set_policy("ask", CAMPAIGN)
    campaign(campaign_id=CAMPAIGN, world_time=AT, processed_world_time=AT)
    pages = f"/admin/jobs/campaignclock/{CAMPAIGN}"

    assert "would be triggered or asked about" in text_of(operator, f"{pages}/what-if/?by=2h")
    assert "an operator is asked whether to trigger the event" in text_of(operator, f"{pages}/forecast/?days=1")


def test_questions_of_many_campaigns_cost_two_queries(redis: Redis) -> None:
    """Each time in its campaign's calendar."""
    calendars.set_own("c-1", TIDES, actor="test", reason="")
    rows = [
        EventQuestion(job_id=new_job_id(), campaign_id=f"c-{n}", scheduled_at=EVENT_TIME, deadline=timezone.now())
        for n in range(3)
    ]
    with CaptureQueriesContext(connection) as queries:
        described = describe(rows)

    assert len(queries) == 2
    assert [one.at == described[0].at for one in described] == [True, False, True]


def test_a_viewer_sees_questions_and_answers_none(viewer: Client, waiting: Job) -> None:
    assert "Yes, trigger" not in text_of(viewer, QUESTIONS)
    assert "Yes, trigger" not in text_of(viewer, page_of(waiting))
    assert viewer.post(ANSWER, {"yes": str(waiting.pk)}).status_code == 403
    assert EventQuestion.objects.get().answer is None


@pytest.mark.parametrize("data", [{}, {"yes": "x"}, {"no": "1" * 400}])
def test_an_answer_to_nothing_is_refused(operator: Client, data: dict[str, str]) -> None:
    assert operator.post(ANSWER, data).status_code == 400
    assert operator.get(ANSWER).status_code == 302


def test_a_jobs_page_says_how_many_effects_were_executed(operator: Client, sandbox: SandboxApi) -> None:
    """And which have failed, with the main API's reason."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    _, broken, _ = plant_effects(sandbox, "PRE", "ON_RESOLVE", "POST")
    sandbox.control("POST", "effects", {"id": broken, "entityId": EVENT, "fails": "no such town", "name": "Flood"})
    job = run(trigger_job())
    assert job.state == State.DEAD

    page = text_of(operator, page_of(job))
    assert "2 of 3 effects executed." in page
    assert "Flood" in page
    assert "executeEffect: no such town" in page


def test_an_operator_says_that_an_effect_was_executed(operator: Client, sandbox: SandboxApi) -> None:
    """The job goes on after it, and sends it no more."""
    sandbox.control("POST", "dialect", {"dialect": "today"})
    first, second = plant_effects(sandbox, "PRE", "POST")
    faults = {"operations": ["executeEffect"], "replies": [{"status": 500, "body": "no"}], "ignoreKeys": True}
    sandbox.control("POST", "faults", faults)
    job = run(trigger_job())
    assert "It was executed: continue" in text_of(operator, page_of(job))
    data = {"job": str(job.pk), "reason": "seen in the main API", "back": page_of(job)}
    operator.post(SETTLE, data)

    assert run(job).state == State.SUCCEEDED
    assert executions(sandbox) == [first, second]
    action = OperatorAction.objects.get(verb="settled")
    assert (action.reason, action.changes) == ("seen in the main API", {"outcome": ["unknown", "executed"]})
    assert "counted as executed by olga" in text_of(operator, page_of(job))
    assert "Nothing was changed" in operator.post(SETTLE, data, follow=True).content.decode()


def test_a_viewer_settles_nothing(viewer: Client) -> None:
    assert viewer.post(SETTLE, {"job": "x"}).status_code == 403
