"""Alerts about questions that wait for an operator."""

from typing import Any

import pytest
from django.utils import timezone

from jobs.triggers import questions
from monitoring.alerting.conditions import Conditions
from monitoring.health import HEALTH
from monitoring.models import Kind
from tests.support.events import CAMPAIGN, EVENT, ask_operator
from tests.support.servers import SandboxApi

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_open_question_raises_an_alert(sandbox: SandboxApi) -> None:
    """It names the event and the deadline, and holds until there is an answer."""
    job = ask_operator(sandbox)
    conditions = Conditions()

    def alerts() -> list[Any]:
        findings, judged = conditions.check(HEALTH.components(), timezone.now(), still_open=frozenset())
        assert Kind.EVENT_QUESTION in judged
        return [one for one in findings if one.kind is Kind.EVENT_QUESTION]

    (alert,) = alerts()
    assert EVENT in alert.title
    assert "without one it expires" in alert.message
    assert alert.campaigns == {CAMPAIGN: 1}
    questions.answer(job.pk, yes=True, actor="user:olga")
    assert alerts() == []
