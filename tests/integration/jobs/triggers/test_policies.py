"""Setting and removing policies for events, with the audit trail's entries."""

from datetime import timedelta

import pytest

from jobs.errors import InvalidPolicy
from jobs.models import EventPolicy, OperatorAction
from jobs.triggers import policies
from jobs.world.event_policies import EventAction, Policy
from tests.support.events import set_policy

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_change_is_recorded_with_old_and_new_values() -> None:
    """A policy that is the same already is not; one for the same campaign and type is replaced."""
    set_policy("ask", "c-1", " Story", minutes=90, default=True)
    row = set_policy("trigger", "c-1", "STORY")
    assert policies.set_policy(Policy(EventAction.TRIGGER, "c-1", "story"), actor="user:bob") is False
    assert policies.remove(row.pk, actor="user:bob", reason="no more")
    assert policies.remove(row.pk, actor="user:bob") is False

    entries = OperatorAction.objects.order_by("id").values_list("actor", "verb", "target", "changes")
    asks = {"action": "ask", "answer_minutes": 90, "default_answer": "yes"}
    target = "policy for story events of campaign c-1"
    assert list(entries) == [
        ("user:ann", "added", target, {name: [None, value] for name, value in asks.items()}),
        (
            "user:ann",
            "changed",
            target,
            {"action": ["ask", "trigger"], "answer_minutes": [90, None], "default_answer": ["yes", None]},
        ),
        ("user:bob", "removed", target, {"action": ["trigger", None]}),
    ]
    assert not EventPolicy.objects.exists()


def test_what_is_stored_is_what_counts() -> None:
    """Of several campaigns, too."""
    set_policy("trigger", "c-1")
    set_policy("ask", "", "party", minutes=5, default=True)
    found = policies.of_campaigns(["c-1", "c-2"])

    assert found.of("c-1", "story").action is EventAction.TRIGGER
    assert found.of("c-2", "party") == Policy(EventAction.ASK, "", "party", timedelta(minutes=5), default_answer=True)
    assert found.of("c-2", "story").action is EventAction.EXPIRE
    assert policies.of_campaign("c-2").of("c-1", "story").action is EventAction.EXPIRE


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (Policy(EventAction.TRIGGER, "c" * 256), "campaign"),
        (Policy(EventAction.TRIGGER, "", "t" * 65), "event_type"),
        (Policy(EventAction.TRIGGER, "", "t\0"), "event_type"),
        (Policy(EventAction.ASK), "answer_minutes"),
        (Policy(EventAction.ASK, answer_within=timedelta(days=367)), "answer_minutes"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_field(policy: Policy, field: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        policies.set_policy(policy, actor="user:ann")

    assert refused.value.field == field
    assert not EventPolicy.objects.exists()
