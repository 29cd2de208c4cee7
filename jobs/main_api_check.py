"""The public interface for checks of the main API: run one, store its report, read the last one."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import audit
from jobs.broker import keys
from jobs.main_api import heard
from jobs.main_api.client import main_api
from jobs.main_api.conformance.check import WITHIN_S, check
from jobs.main_api.conformance.report import CheckOutcome, Report, from_json
from jobs.main_api.transport import PooledTransport
from jobs.models import Job, MainApiCheck
from jobs.registry import all_types

log = structlog.get_logger(__name__)
_JOBS: Final = 20  #: the newest that name an effect
_LAST: Final = "last"


class Last(NamedTuple):
    """What is known of the main API."""

    report: Report | None  #: of the last check that got through
    failed_at: datetime | None = None  #: when a later one did not
    failure: str = ""


def effect_ids() -> list[str]:
    """The effects of the newest jobs, each once, the newest first."""
    types = [name for name, declared in all_types().items() if "effectId" in declared.payload.__struct_encode_fields__]
    payloads = Job.objects.filter(type__in=types).order_by("-pk").values_list("payload", flat=True)[:_JOBS]
    found = [payload.get("effectId") for payload in payloads if isinstance(payload, dict)]
    return list(dict.fromkeys(one for one in found if isinstance(one, str)))


def run(*, actor: str, effects: Iterable[str] = (), within_s: float = WITHIN_S) -> Report:
    """Check the main API at API_URL, past the breaker. Neither reads nor writes the database."""
    timeout = min(settings.API_REQUEST_TIMEOUT, timedelta(seconds=within_s / 2))
    token = settings.API_SERVICE_ACCOUNT_TOKEN
    transport = PooledTransport(settings.API_URL, token, main_api().transport.gate, timeout=timeout)
    try:
        report = check(
            transport.send,
            url=settings.API_URL,
            is_key=token.startswith("camp_sk_"),
            by=actor,
            effect_ids=effects,
            heard=heard.read(keys.redis()),
            within_s=within_s,
        )
    finally:
        transport.close()
    points = {str(point.point): point.verdict.value for point in report.points}
    log.info("main_api.checked", actor=actor, outcome=report.outcome.value, reason=report.reason, points=points)
    return report


def store(report: Report) -> None:
    """Keep the report as the last one; of a main API that did not answer only why."""
    if report.outcome is CheckOutcome.UNREACHABLE:
        fields: dict[str, object] = {"failed_at": timezone.now(), "failure": report.reason}
    else:
        fields = {"report": report.as_json(), "failed_at": None, "failure": ""}
    MainApiCheck.objects.update_or_create(name=_LAST, defaults=fields)


def run_for_operator(*, actor: str, within_s: float) -> Report:
    """Run a check now, store and audit it."""
    report = run(actor=actor, effects=effect_ids(), within_s=within_s)
    with transaction.atomic():
        store(report)
        audit.record(actor=actor, verb="checked", target="main API")
    return report


def last() -> Last:
    """The last report, and what has become of later checks."""
    row = MainApiCheck.objects.filter(name=_LAST).first()
    return Last(from_json(row.report), row.failed_at, row.failure) if row else Last(None)
