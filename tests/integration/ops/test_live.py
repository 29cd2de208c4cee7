"""Who may follow which topics, what a look costs, and which pages are live."""

from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from django.utils import timezone
from redis import Redis

from jobs import pauses, service
from jobs.models import Job, OperatorAction
from jobs.service import Submission
from monitoring.models import Delivery
from ops.admin.live import MOST_TOPICS
from ops.live import pages, topics
from ops.live.hub import hub
from scheduler_project.admission import STREAM
from tests.support.people import JOBS, member, some
from tests.support.queries import count_queries

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _pages() -> None:
    """Each app registers its pages and topics with its admin, which URLs load."""
    assert get_resolver().url_patterns


def status(client: Client, *topics: str) -> int:
    response = client.get(STREAM, {"topic": topics})
    response.close()
    return response.status_code


@pytest.mark.django_db(transaction=True)  # the end of a stream closes its connection
def test_a_stream_needs_the_permission_of_its_topics(client: Client, redis: Redis) -> None:
    """A browser does not follow a redirect to the login: it is refused, as who may not see jobs is."""
    job = str(some(1)[0].pk)

    assert reverse("live") == STREAM  # which has threads of its own
    assert status(client, "moves") == 403
    assert status(member(client, name="new"), "moves") == 403
    assert status(member(client, "Viewer"), "moves", f"job:{job}") == 200
    assert status(client, "nothing", "job:*") == 403
    assert status(client, *["nothing"] * MOST_TOPICS, "moves") == 403
    assert client.post(STREAM).status_code == 405


def change_job(job: Job) -> None:
    service.run_now([job], actor="user:ann", reason="now")


def change_orders(_: Job) -> None:
    pauses.pause("queue", "low", actor="user:ann", reason="tidy up")


@pytest.mark.parametrize(
    ("topic", "change"),
    [("moves", change_job), ("job:{}", change_job), ("orders", change_orders), ("actions", change_orders)],
)
def test_a_change_changes_its_topic(redis: Redis, topic: str, change: Callable[[Job], None]) -> None:
    (job,) = some(1)
    topic = topic.format(job.pk)
    before, again = hub.look([topic]), hub.look([topic])
    change(job)

    assert before == again
    assert hub.look([topic]) != before


def test_a_row_that_is_committed_late_is_a_change(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL numbers rows before they are committed: a lower number may appear later, first or among many."""
    monkeypatch.setattr(topics, "NEWEST", 3)
    seen = set()
    for number in (10, 9, 20, 21, 19, 15):
        OperatorAction.objects.bulk_create([OperatorAction(pk=number, actor="user:ann", verb="paused", target="x")])
        seen.add(hub.look(["actions"])["actions"])

    assert len(seen) == 5  # all but the last: it is not among the newest


@pytest.mark.parametrize("name", ["moves", "actions", "firings", "orders", "processes", "deliveries", "alerts"])
def test_a_look_costs_two_queries_at_most(redis: Redis, name: str) -> None:
    """However many jobs wait."""
    some(300)
    hub.look([name])
    with count_queries() as queries:
        hub.look([name])

    assert len(queries) <= 2


def test_a_look_at_many_jobs_is_one_query(redis: Redis) -> None:
    topics = [f"job:{job.pk}" for job in some(20)]
    with count_queries() as queries:
        found = hub.look(topics)

    assert len(queries) == 1
    assert len(set(found)) == 20


def test_a_test_message_s_result_is_a_change(redis: Redis) -> None:
    """Of the delivery and of the list of deliveries."""
    sent = Delivery.objects.create(target="handler:1", handler_name="on call", handler_kind="log", action="test")
    topics = ["deliveries", f"delivery:{sent.pk}"]
    before = hub.look(topics)
    Delivery.objects.update(status=Delivery.Status.SENT, sent_at=timezone.now())
    after = hub.look(topics)

    assert all(before[topic] != after[topic] for topic in topics)


def url_names(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    """The names of all pages, with their namespaces."""
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            yield from url_names(one, f"{prefix}{one.namespace}:" if one.namespace else prefix)
        elif one.name:
            yield f"{prefix}{one.name}"


def test_each_live_page_exists_and_its_topics_too() -> None:
    """Whoever renames a page or a topic finds it here."""
    followed = [topic for topics in pages.topics_by_page.values() for topic in topics]

    assert {topic.partition(":")[0] for topic in followed} <= hub.kinds
    assert set(pages.topics_by_page) <= set(url_names(get_resolver()))


def test_new_jobs_wait_outside_a_live_list(client: Client, redis: Redis) -> None:
    """The page that it shows stays the same, with the number of those that are newer."""
    seen = some(2)[-1]
    service.submit_many([Submission(type="EVENT_EXPIRATION", campaign_id="c-2", payload={})], actor="test")
    viewer = member(client, "Viewer")
    shown = viewer.get(JOBS, headers={"X-Live": "1", "X-Seen": str(seen.pk)}).context["cl"]
    whole = viewer.get(JOBS, headers={"X-Live": "1"}).context["cl"]

    assert shown.result_list[0].pk == seen.pk
    assert (shown.new_count, whole.new_count) == (1, 0)
    assert len(whole.result_list) == len(shown.result_list) + 1
