"""Whatever is published: the listener goes on, and jobs are of campaigns that can be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.broker import keys
from jobs.listener import PATTERNS, Listener
from jobs.main_api.client import main_api
from jobs.models import CampaignClock, Job
from scheduler_project.text import is_id
from tests.fuzz.meter import METERS
from tests.fuzz.strategies import LITERALS, TEXT
from tests.support.examples import examples
from tests.support.texts import JSON

_KIND = st.sampled_from([pattern.rpartition(".")[2] for pattern in PATTERNS])
_CAMPAIGN = TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40) | st.just(b"c-1")
_CHANNEL = st.builds(lambda campaign, kind: b"campaign." + campaign + b"." + kind.encode(), _CAMPAIGN, _KIND)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "campaignId": JSON,
        "newTime": st.datetimes().map(lambda at: f"{at.isoformat()}Z") | TEXT | JSON,
        "entityType": st.sampled_from(["Settlement", "Structure", "Event", "Encounter", "Campaign"]) | JSON,
        "entityId": TEXT | JSON,
        "operation": st.sampled_from(["CREATE", "UPDATE", "DELETE"]) | JSON,
    },
)
_DATA = _BODY.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60) | LITERALS.map(str.encode)


@pytest.fixture
def listener(redis: object) -> Listener:
    """A listener that is handed its messages."""
    return Listener(keys.redis(), main_api())


@pytest.mark.django_db(transaction=True)
@examples(20)
@given(messages=st.lists(st.tuples(_CHANNEL, _DATA), min_size=1, max_size=4))
def test_any_message_is_understood_or_rejected(listener: Listener, messages: list[tuple[bytes, bytes]]) -> None:
    """No text or number in it stops the next one."""
    for channel, data in messages:
        with METERS.one("messages"):
            listener.receive({"channel": channel, "data": data})
            listener.handle_all()

    assert all(is_id(job.campaign_id) for job in Job.objects.filter(source="listener"))
    Job.objects.all().delete()
    CampaignClock.objects.all().delete()
